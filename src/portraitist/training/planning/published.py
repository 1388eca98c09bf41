"""Footprints of the recipes on published architectures, counted beforehand, so that to plan them takes no model.

`make listing` writes the file; a test holds it and what is counted together.
"""

import json
from dataclasses import asdict
from importlib.resources import files
from typing import Any

import torch

from portraitist.training.planning.memory import Footprint
from portraitist.training.recipes import Recipe

FILE = files("portraitist.training.planning").joinpath("footprints.json")
ARCHITECTURES = ("sd15", "sdxl", "flux")
PRECISION = torch.bfloat16  # what GPUs hold a base in
# What of a recipe a footprint depends on, but for batches, which it is worked out for.
_DECISIVE = ("method", "method_config", "layers", "prior", "precision")


def published_footprint(architecture: str, dtype: torch.dtype, recipe: Recipe) -> Footprint | None:
    """Return the footprint of a recipe on a published architecture at its own resolution; None if none is known."""
    if dtype is not PRECISION:
        return None
    for entry in json.loads(FILE.read_text()):
        if (entry["architecture"], entry["recipe"]) == (architecture, _decisive(recipe)):
            return Footprint(**entry["footprint"])
    return None


def footprint_entry(architecture: str, recipe: Recipe, footprint: Footprint) -> dict[str, Any]:
    """Return a footprint as it stands in the file."""
    return {"architecture": architecture, "recipe": _decisive(recipe), "footprint": asdict(footprint)}


def _decisive(recipe: Recipe) -> dict[str, Any]:
    return recipe.model_dump(mode="json", include=set(_DECISIVE))
