"""Teach a text-to-image diffusion model a new subject, in a file smaller than a photo."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from portraitist.adapters import Adapter, load_adapter, save_adapter
    from portraitist.bases import Base, load_base
    from portraitist.generation import Picture, SamplingConfig, contact_sheet, generate
    from portraitist.training.personalise import train
    from portraitist.training.recipes import Recipe, load_recipe
    from portraitist.training.subjects import Subject

__version__ = "0.1.0.dev0"

# Where each public name lives. It is imported when it is first used, so that `import portraitist` stays quick.
_HOMES = {
    "Adapter": "portraitist.adapters",
    "Base": "portraitist.bases",
    "Picture": "portraitist.generation",
    "Recipe": "portraitist.training.recipes",
    "SamplingConfig": "portraitist.generation",
    "Subject": "portraitist.training.subjects",
    "contact_sheet": "portraitist.generation",
    "generate": "portraitist.generation",
    "load_adapter": "portraitist.adapters",
    "load_base": "portraitist.bases",
    "load_recipe": "portraitist.training.recipes",
    "save_adapter": "portraitist.adapters",
    "train": "portraitist.training.personalise",
}

__all__ = [
    "Adapter",
    "Base",
    "Picture",
    "Recipe",
    "SamplingConfig",
    "Subject",
    "__version__",
    "contact_sheet",
    "generate",
    "load_adapter",
    "load_base",
    "load_recipe",
    "save_adapter",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'portraitist' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
