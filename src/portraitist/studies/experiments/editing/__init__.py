"""Editing measured where the true answer can be drawn."""
