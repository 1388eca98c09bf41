"""Counting an adapter's numbers before anything is trained or downloaded."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from portraitist.adapters import Space, find_layers, get_method
from portraitist.bases.architectures import architecture_family, build_architecture
from portraitist.bases.layers import LAYER_SETS
from portraitist.errors import BadConfig

_BYTES = {"float32": 4, "float16": 2}
_LORA_RANK = 4
# What the papers adapt; the attention layers where a method or a family has nothing else.
_USUAL_SETS = {
    "svdiff": "UNet",
    "full": "UNet",
    "lidb": "lidb-paper",
    "textual-inversion": "token-embedding",
}


@dataclass(frozen=True)
class Count:
    """An adapter in numbers.

    Attributes:
        layers: Adapted layers.
        numbers: Parameters of the adapter.
        full: Parameters of the components it touches, as DreamBooth would train them.
        lora: Parameters of a LoRA of rank 4 on the same set of layers, as far as LoRA adapts them.
    """

    layers: int
    numbers: int
    full: int
    lora: int

    def bytes(self) -> dict[str, int]:
        """Return the size of the numbers alone, by precision."""
        return {dtype: size * self.numbers for dtype, size in _BYTES.items()}


def count_adapter(base: str, method: str, config: Mapping[str, Any], layers: str | None = None) -> Count:
    """Count an adapter on an architecture, without weights.

    Args:
        base: A name of `list_architectures`, or a folder in the diffusers layout.
        method: Name of the method.
        config: Its settings.
        layers: A layer set of the family or a pattern; the papers' usual set when absent. Textual Inversion is counted
            with one new vector if its settings have no ``token_ids``.

    Raises:
        BadConfig: If there is no such base, method, set, or the settings do not fit the layers.
    """
    components = build_architecture(base)
    sets = LAYER_SETS[architecture_family(base)]
    usual = _USUAL_SETS.get(method, "attention")
    layer_set = layers or (usual if usual in sets else "attention")
    if method == "textual-inversion":
        config = {"token_ids": (0,), **config}
    if layer_set not in sets and not any(mark in layer_set for mark in ".*"):
        raise BadConfig(f"{Path(base).name} has no layer set named {layer_set!r}; it has {', '.join(sets)}")
    found = find_layers(components, sets.get(layer_set, (layer_set,)))
    kinds = get_method(method).layers
    specs = [spec for spec in found if spec.kind in kinds]
    if not specs:
        raise BadConfig(f"{method} adapts none of the layers in {layer_set}, only {', '.join(k.value for k in kinds)}")
    touched = {spec.name.partition(".")[0] for spec in specs}
    lora_kinds = get_method("lora").layers
    return Count(
        layers=len(specs),
        numbers=Space.of(method, config, specs).count,
        full=sum(p.numel() for name in touched for p in components[name].parameters()),
        lora=Space.of("lora", {"rank": _LORA_RANK}, [s for s in found if s.kind in lora_kinds and s.groups == 1]).count,
    )
