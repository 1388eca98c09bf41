"""Training networks that are no adapters, in stages: each has a folder of its own and is resumed where it was."""
