"""Base models: loading, families, and toyland's shipped weights. Knows diffusers, nothing of adapters."""

from portraitist.bases.base import Base, load_base

__all__ = ["Base", "load_base"]
