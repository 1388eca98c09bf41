"""Counting an adapter's parameters before anything is trained or downloaded. Needs no torch."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from portraitist.adapters.layouts import get_layout
from portraitist.adapters.layouts.layout import Layout
from portraitist.adapters.patterns import select_layers
from portraitist.adapters.spec import LayerSpec
from portraitist.bases.layers import LAYER_SETS
from portraitist.errors import BadConfig
from portraitist.training.planning.architectures import Architecture

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
    """What an adapter comes to.

    Attributes:
        layers: Adapted layers.
        parameters: How many the adapter has.
        full: Parameters of the components it touches, as DreamBooth would train them.
        lora: Parameters of a LoRA of rank 4 on the same set of layers, as far as LoRA adapts them.
    """

    layers: int
    parameters: int
    full: int
    lora: int

    def bytes(self) -> dict[str, int]:
        """Return the size of the parameters alone, by precision."""
        return {dtype: size * self.parameters for dtype, size in _BYTES.items()}


def count_adapter(
    architecture: Architecture, name: str, method: str, config: Mapping[str, Any], layers: str | None = None
) -> Count:
    """Count an adapter on an architecture.

    Args:
        architecture: The architecture.
        name: What messages call it.
        method: Name of the method.
        config: Its settings.
        layers: A layer set of the family or a pattern; the papers' usual set when absent. Textual Inversion is counted
            with one new vector if its settings have no ``token_ids``.

    Raises:
        BadConfig: If there is no such method or set, or the settings do not fit the layers.
    """
    sets = LAYER_SETS[architecture.family]
    usual = _USUAL_SETS.get(method, "attention")
    wanted = layers or (usual if usual in sets else "attention")
    if method == "textual-inversion":
        config = {"token_ids": (0,), **config}
    if wanted not in sets and not any(mark in wanted for mark in ".*"):
        raise BadConfig(f"no layer set is named {wanted!r} for {name}; there are: {', '.join(sets)}")
    patterns = sets.get(wanted, (wanted,))
    found = select_layers(architecture.described, patterns)
    if not found:
        raise BadConfig(f"no adaptable layer matches {', '.join(patterns)} in {', '.join(architecture.parameters)}")
    layout, lora = get_layout(method), get_layout("lora")
    specs = [spec for spec in found if spec.kind in layout.shapes]
    if not specs:
        kinds = ", ".join(kind.value for kind in layout.shapes)
        raise BadConfig(f"{method} adapts none of the layers in {wanted}; it adapts {kinds}")
    touched = {spec.name.partition(".")[0] for spec in specs}
    return Count(
        layers=len(specs),
        parameters=_count(layout, config, specs),
        full=sum(architecture.parameters[component] for component in touched),
        lora=_count(
            lora, {"rank": _LORA_RANK}, [spec for spec in found if spec.kind in lora.shapes and spec.groups == 1]
        ),
    )


def _count(layout: Layout, config: Mapping[str, Any], specs: Sequence[LayerSpec]) -> int:
    """Return how many parameters an adapter has on some layers."""
    settings = layout.parse_config(config)
    return sum(math.prod(shape) for spec in specs for shape in layout.layer_shapes(spec, settings).values())
