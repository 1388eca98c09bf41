"""Recipes of DiffLoRA and of its rivals that ship with the package."""
