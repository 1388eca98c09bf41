"""Base models: loading, families, and toyland's shipped weights. Knows diffusers, nothing of adapters."""

from portraitist.bases.base import Base, load_base
from portraitist.bases.fingerprint import same_structure, same_weights

__all__ = ["Base", "load_base", "same_structure", "same_weights"]
