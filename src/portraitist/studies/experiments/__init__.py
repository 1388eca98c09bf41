"""What is measured or shown in other ways than by a grid: the demo, editing, pairs of subjects."""
