"""Recipes of hypernetworks made small, for the tiny base and painted sets."""

from typing import Any

from portraitist.hypernetworks.recipes import load_recipe
from portraitist.hypernetworks.settings import HypernetworkRecipe

_SMALL: dict[str, dict[str, Any]] = {
    "sight": {"encoders": [], "latents": 2},
    "decoder": {"width": 16, "heads": 2},
    "training": {"steps": 3, "batch_size": 4, "warmup_steps": 0},
}
_SPACES: dict[str, dict[str, Any]] = {
    "portraitist": {"config": {"changes": 3}},
    "paper": {"config": {"a": 6, "b": 4}},
}


def small_recipe(name: str = "portraitist", **changes: dict[str, Any]) -> HypernetworkRecipe:
    """Return a shipped recipe for the tiny base; changes are by section."""
    sections = {**_SMALL, "output": _SPACES[name]}
    return load_recipe(name, {key: {**sections.get(key, {}), **changes.get(key, {})} for key in sections | changes})
