"""Photos to adapter: subjects, recipes, tasks and the one training loop."""
