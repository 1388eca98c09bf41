"""Footprints of the recipes on published architectures, counted beforehand, so that to plan them takes no model.

`make listing` writes the file; a test holds it and what is counted together.
"""

import json
from bisect import bisect
from collections.abc import Mapping
from dataclasses import asdict, replace
from importlib.resources import files
from typing import Any

import torch

from portraitist.training.planning.memory import Footprint
from portraitist.training.recipes import Recipe

FILE = files("portraitist.training.planning").joinpath("footprints.json")
ARCHITECTURES = ("sd15", "sdxl", "flux")
PRECISION = torch.bfloat16  # what GPUs hold a base in
# What of a recipe a footprint depends on, but for batches and sizes, which it is worked out for.
_DECISIVE = ("method", "method_config", "layers", "prior", "precision")
# Footprints of these methods at the ranks that people take ship too.
RANKS = {"lora": (1, 8, 16, 32, 64, 128)}


def published_footprint(architecture: str, dtype: torch.dtype, recipe: Recipe) -> Footprint | None:
    """Return the footprint of a recipe on a published architecture at its own resolution; None if none is known.

    Those of ranks between two that are known are worked out.
    """
    if dtype is not PRECISION:
        return None
    asked, rank = _without_rank(_decisive(recipe))
    known = {}
    for entry in json.loads(FILE.read_text()):
        rest, counted = _without_rank(entry["recipe"])
        if (entry["architecture"], rest) == (architecture, asked):
            known[counted] = Footprint(**entry["footprint"])
    return known[rank] if rank in known else _between(known, rank)


def footprint_entry(architecture: str, recipe: Recipe, footprint: Footprint) -> dict[str, Any]:
    """Return a footprint as it stands in the file."""
    return {"architecture": architecture, "recipe": _decisive(recipe), "footprint": asdict(footprint)}


def _decisive(recipe: Recipe) -> dict[str, Any]:
    return recipe.model_dump(mode="json", include=set(_DECISIVE))


def _without_rank(recipe: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
    """Return what decides a footprint apart from the rank, 0 where there is none; alpha only scales what is there."""
    config = dict(recipe["method_config"])
    rank = config.pop("rank", 0)
    config.pop("alpha", None)
    return {**recipe, "method_config": config}, rank


def _between(known: Mapping[int, Footprint], rank: int) -> Footprint | None:
    """Return the footprint at a rank between known ones; None if there are none around it."""
    if not known or not min(known) < rank < max(known):
        return None
    return replace(
        known[min(known)],
        kept=_value_between({each: footprint.kept for each, footprint in known.items()}, rank),
        plain=_value_between({each: footprint.plain for each, footprint in known.items()}, rank),
        checkpointed=_value_between({each: footprint.checkpointed for each, footprint in known.items()}, rank),
    )


def _value_between(known: Mapping[int, int], rank: int) -> int:
    """Return bytes at a rank between known ones.

    They are the highest of several moments of a step, each of which grows evenly with the rank. So they lie below the
    line between the two ranks around, and above the lines through the next two on either side, which meet in them if
    no more than one moment takes over in between.
    """
    ranks = sorted(known)
    place = bisect(ranks, rank)

    def line(first: int, second: int) -> float:
        return known[first] + (rank - first) / (second - first) * (known[second] - known[first])

    chord = line(*ranks[place - 1 : place + 1])
    sides = [pair for pair in (ranks[max(place - 2, 0) : place], ranks[place : place + 2]) if len(pair) == 2]
    return round(chord if len(sides) < 2 else min(chord, max(line(*pair) for pair in sides)))
