"""Teach a text-to-image diffusion model a new subject, in a file smaller than a photo."""

__version__ = "0.1.0.dev0"
