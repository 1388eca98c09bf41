"""Base models: loading, families, and toyland's shipped weights. Knows diffusers, nothing of adapters."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from portraitist.bases.base import Base, load_base

# Where each name lives. It is imported when it is first used, so that layer sets are named without waiting for torch.
_HOMES = {"Base": "portraitist.bases.base", "load_base": "portraitist.bases.base"}

__all__ = ["Base", "load_base"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
