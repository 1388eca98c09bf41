"""Prompts to pictures: sampling with adapters, metadata in the files, contact sheets."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from portraitist.generation.config import SamplingConfig
    from portraitist.generation.regions import Region
    from portraitist.generation.sampling import Picture, generate
    from portraitist.generation.sheets import SheetRow, contact_sheet

# Where each name lives. It is imported when it is first used, so that settings are checked without waiting for torch.
_HOMES = {
    "Picture": "portraitist.generation.sampling",
    "Region": "portraitist.generation.regions",
    "SamplingConfig": "portraitist.generation.config",
    "SheetRow": "portraitist.generation.sheets",
    "contact_sheet": "portraitist.generation.sheets",
    "generate": "portraitist.generation.sampling",
}

__all__ = ["Picture", "Region", "SamplingConfig", "SheetRow", "contact_sheet", "generate"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
