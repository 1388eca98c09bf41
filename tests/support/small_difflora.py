"""Recipes of DiffLoRA made small, for the tiny base and painted sets."""

from typing import Any

from portraitist.adapters import Space, find_layers
from portraitist.bases import Base
from portraitist.hypernetworks.difflora.settings import DiffloraRecipe
from portraitist.hypernetworks.systems import get_system
from portraitist.training.blank_adapters import resolve_layers

_AUTOENCODERS: dict[str, dict[str, Any]] = {
    "paper": {"channels": [4, 4, 4, 4]},
    "tokens": {"width": 8, "blocks": 1, "heads": 2, "latents": 4},
    "portraitist": {},
}


def small_difflora(name: str = "portraitist", **changes: dict[str, Any]) -> DiffloraRecipe:
    """Return a shipped recipe made small; changes are by section."""
    sections: dict[str, dict[str, Any]] = {
        "autoencoder": _AUTOENCODERS[name],
        "generator": {"depth": 1, "width": 8, "heads": 2, "tokens": 2, "sampling_steps": 3},
        "generator_training": {"steps": 3, "batch_size": 4, "warmup_steps": 0},
    }
    if name != "portraitist":
        sections["autoencoder_training"] = {"steps": 3, "batch_size": 4, "warmup_steps": 0}
    merged = {key: {**sections.get(key, {}), **changes.get(key, {})} for key in sections | changes}
    return get_system("difflora").load_recipe(name, merged)


def lora_space(base: Base, rank: int = 2) -> Space:
    """Return the LoRAs of a rank on the attention of a base."""
    return Space.of("lora", {"rank": rank}, find_layers(base.components, resolve_layers(base, "attention")))
