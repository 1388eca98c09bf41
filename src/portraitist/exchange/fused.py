"""LoRA of layers that are one matrix in a file and several in diffusers: FLUX.1's original layout, read and written.

A LoRA of a ``qkv`` is three of the same ``down`` with a third of the rows of ``up`` each; three LoRAs are one of a
``qkv`` with their ``down`` one below the other and their ``up`` along a diagonal. Both are exact.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from portraitist.bases.flux_layout import (
    FEED_FORWARD_RATIO,
    is_exchanged,
    modern_modules,
    original_module,
    part_rows,
)
from portraitist.errors import BadFile

COMPONENT = "transformer"


@dataclass(frozen=True)
class LowRankPart:
    """One layer's factors as matrices, ``up [out, r]`` and ``down [r, in]``."""

    layer: str
    up: Tensor
    down: Tensor


def parts_of(layer: str) -> list[str]:
    """Return the layers of diffusers that a layer of the original layout became; none if it is none of that."""
    component, _, module = layer.partition(".")
    return [f"{COMPONENT}.{part}" for part in modern_modules(module)] if component == COMPONENT else []


def is_fused(layer: str) -> bool:
    """Say whether a layer of the original layout is more than another name for one of diffusers'."""
    return len(parts_of(layer)) > 1 or is_exchanged(layer.removeprefix(f"{COMPONENT}."))


def split(where: str, layer: str, up: Tensor, down: Tensor) -> list[LowRankPart]:
    """Split a LoRA of a layer of the original layout.

    Args:
        where: The file and the layer, for messages.
        layer: The layer, one that `is_fused`.
        up: ``[out, r]``.
        down: ``[r, in]``.

    Returns:
        The factors of each part, without the terms that do nothing there, and without the parts where none does.

    Raises:
        BadFile: If its shape is not that of such a layer.
    """
    found = [LowRankPart(part, rows, down) for part, rows in split_rows(where, layer, up, down.shape[1])]
    return [_without_zeros(part) for part in found if part.up.any()] or found


def split_rows(where: str, layer: str, matrix: Tensor, inputs: int) -> list[tuple[str, Tensor]]:
    """Return the rows of a layer that `is_fused` by the layers of diffusers they belong to; see `split`.

    Args:
        where: The file and the layer, for messages.
        layer: The layer.
        matrix: ``[out, n]``, any n.
        inputs: Columns of the layer's weight.
    """
    parts = parts_of(layer)
    if is_exchanged(layer.removeprefix(f"{COMPONENT}.")):
        return [(parts[0], _exchange_halves(matrix))]
    counts = part_rows([part.partition(".")[2] for part in parts], len(matrix), inputs)
    if min(counts) < 1 or (counts[0] * len(parts) != len(matrix) and counts[0] != inputs):
        raise BadFile(f"{where} has {len(matrix)} rows and {inputs} columns, which no such layer of FLUX.1 has")
    return list(zip(parts, matrix.split(counts), strict=True))


def _without_zeros(part: LowRankPart) -> LowRankPart:
    """Leave out the terms whose column of ``up`` is zero."""
    used = part.up.any(dim=0)
    return LowRankPart(part.layer, part.up[:, used], part.down[used])


def is_original(layers: Mapping[str, object]) -> bool:
    """Say whether all layers of a transformer, and there are some, have a place in FLUX.1's original layout."""
    inside = [name.removeprefix(f"{COMPONENT}.") for name in layers if name.startswith(f"{COMPONENT}.")]
    return bool(inside) and all(original_module(name) is not None for name in inside)


def join(values: Mapping[str, Mapping[str, Tensor]]) -> list[LowRankPart]:
    """Return the LoRAs of layers of the original layout that do what those of diffusers' do.

    Args:
        values: ``up`` and ``down`` by layer; the layers `is_original`. Parts of a layer may be missing; they are left
            as they are.
    """
    originals: dict[str, dict[str, Mapping[str, Tensor]]] = {}
    for layer, params in values.items():
        module = layer.removeprefix(f"{COMPONENT}.")
        original = original_module(module)
        assert original is not None
        originals.setdefault(original, {})[module] = params
    return [_joined(original, found) for original, found in originals.items()]


def _joined(original: str, found: Mapping[str, Mapping[str, Tensor]]) -> LowRankPart:
    modules = modern_modules(original)
    layer = f"{COMPONENT}.{original}"
    if len(modules) == 1:
        up, down = found[modules[0]]["up"], found[modules[0]]["down"]
        return LowRankPart(layer, _exchange_halves(up) if is_exchanged(original) else up, down)
    present = [module for module in modules if module in found]
    first = found[present[0]]["down"]
    shared = all(found[module]["down"].equal(first) for module in present)
    down = first if shared else torch.cat([found[module]["down"] for module in present])
    rows, start = [], 0
    for module in modules:
        if module not in found:
            rows.append(first.new_zeros(_height(module, first.shape[1]), down.shape[0]))
            continue
        up = found[module]["up"]
        wide = up if shared else up.new_zeros(up.shape[0], down.shape[0])
        if not shared:
            wide[:, start : start + up.shape[1]] = up
            start += up.shape[1]
        rows.append(wide)
    return LowRankPart(layer, torch.cat(rows), down)


def _height(module: str, width: int) -> int:
    """Return the rows of a part that an adapter does not change."""
    return FEED_FORWARD_RATIO * width if module.endswith(".proj_mlp") else width


def _exchange_halves(up: Tensor) -> Tensor:
    """Put the lower half of the rows above the upper one."""
    return torch.cat(up.chunk(2)[::-1])
