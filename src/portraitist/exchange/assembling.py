"""From the factors found in a file to an adapter, with all shapes checked before anything is built."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from portraitist.adapters.adapter import Adapter
from portraitist.adapters.description import NOT_FINITE
from portraitist.adapters.files import is_usable
from portraitist.adapters.layer import recompress
from portraitist.adapters.layouts.lora import STRENGTH_LIMIT
from portraitist.adapters.provenance import Provenance
from portraitist.adapters.space import Space
from portraitist.adapters.spec import LayerSpec
from portraitist.errors import BadFile
from portraitist.exchange.fused import is_fused, split
from portraitist.exchange.naming import Naming

# All linear and convolution layers of Stable Diffusion XL at rank 256 hold a quarter of this.
_TOTAL_LIMIT = 2**32
# How many times larger a LoRA may become when lower ranks are filled up to the largest; small ones may freely.
_MOST_FILLED, _SMALL_TOTAL = 32, 2**24


@dataclass(frozen=True)
class Factors:
    """A layer's low-rank change ``scaling * up @ down`` as matrices, ``up [out, r]``, ``down [r, in]``."""

    spec: LayerSpec
    up: Tensor
    down: Tensor
    scaling: float

    @property
    def rank(self) -> int:
        """Return r."""
        return self.up.shape[1]


def read_factors(
    naming: Naming, layer: str, up: Tensor, down: Tensor, scaling: float, mid: Tensor | None
) -> dict[str, Factors]:
    """Check a layer's LoRA tensors against each other and against the base.

    Args:
        naming: Knows the base, and the file for messages.
        layer: The layer's name.
        up: ``[out, r]`` or ``[out, r, 1, 1]``.
        down: ``[r, in]`` or ``[r, in, kh, kw]``.
        scaling: alpha / rank.
        mid: The core of a Tucker decomposition, ``[r, r, kh, kw]``; then the others have 1x1 kernels.

    Returns:
        The layer's factors by its name; those of several layers where the base has what is one in the file as several.

    Raises:
        BadFile: If they do not fit.
    """
    where = f"{naming.path}: {layer}"
    if down.ndim not in (2, 4) or up.ndim not in (2, 4) or up.shape[2:].numel() != 1 or 0 in (*up.shape, *down.shape):
        raise BadFile(
            f"{where} has factors of shapes {tuple(up.shape)} and {tuple(down.shape)}, which do not form a LoRA"
        )
    if not abs(scaling) < STRENGTH_LIMIT or not is_usable(up * scaling):
        raise BadFile(f"{where} has the strength {scaling:g} (alpha / rank), which no LoRA has")
    if mid is None and up.shape[1] != down.shape[0]:
        raise BadFile(f"{where} has factors of different ranks, {up.shape[1]} and {down.shape[0]}")
    if is_fused(layer):
        if mid is not None or down.shape[2:].numel() != 1:
            raise BadFile(f"{where} is changed as a convolution, which it is not")
        parts = split(where, layer, up.flatten(1), down.flatten(1))
        specs = [naming.spec(part.layer, (part.up.shape[0], part.down.shape[1])) for part in parts]
        return {part.layer: Factors(spec, part.up, part.down, scaling) for part, spec in zip(parts, specs, strict=True)}
    if mid is not None:
        if down.shape[2:].numel() != 1 or mid.ndim != 4 or mid.shape[:2] != (up.shape[1], down.shape[0]):
            raise BadFile(f"{where} has a core of shape {tuple(mid.shape)} that does not fit its factors")
        spec = naming.spec(layer, (up.shape[0], down.shape[1], *mid.shape[2:]))
        naming.allow_product(layer, mid.shape[0], down.shape[1], *mid.shape[2:])
        down = torch.einsum("rskl,si->rikl", mid, down.flatten(1))
    else:
        spec = naming.spec(layer, (up.shape[0], *down.shape[1:]))
    return {layer: Factors(spec, up.flatten(1), down.flatten(1), scaling)}


def build_lora(path: Path, factors: Mapping[str, Factors], metadata: Mapping[str, Any]) -> Adapter:
    """Build a LoRA from the factors of its layers.

    Ranks and scalings that differ between layers are brought to one: scalings go into ``up``, lower ranks are filled
    with zeros.

    Raises:
        BadFile: If there are no layers, or they would not fit into memory.
    """
    if not factors:
        raise BadFile(f"{path} holds no layers of an adapter")
    first = next(iter(factors.values()))
    alike = all((layer.rank, layer.scaling) == (first.rank, first.scaling) for layer in factors.values())
    if not alike or first.scaling <= 0:
        factors = {name: _reduced(layer) for name, layer in factors.items()}
    rank = max(1, *(layer.rank for layer in factors.values()))
    total = sum(rank * (layer.up.shape[0] + layer.down.shape[1]) for layer in factors.values())
    stored = sum(layer.up.numel() + layer.down.numel() for layer in factors.values())
    if total > min(_TOTAL_LIMIT, _SMALL_TOTAL + _MOST_FILLED * stored):
        raise BadFile(
            f"{path}: its layers, filled up to their largest rank, {rank}, would hold {total:,} numbers instead of"
            f" {stored:,}"
        )
    alpha = first.scaling * rank if alike and first.scaling > 0 and first.scaling != 1 else None
    space = Space.of("lora", {"rank": rank, "alpha": alpha}, [layer.spec for layer in factors.values()])
    values = {}
    for name, layer in factors.items():
        shapes, missing = space.shapes[name], rank - layer.rank
        down = nn.functional.pad(layer.down, (0, 0, 0, missing)).reshape(shapes["down"])
        up = nn.functional.pad(layer.up, (0, missing)).reshape(shapes["up"])
        values[name] = _frozen({"down": down, "up": up})
    return Adapter(space, values, Provenance(dict(metadata)))


@dataclass(frozen=True)
class KroneckerFactors:
    """A layer's Kronecker change ``w1 (x) w2``, ``w1 [a1, a2]``, ``w2 [b1, b2]`` or ``[b1, b2, kh, kw]``."""

    spec: LayerSpec
    w1: Tensor
    w2: Tensor


def build_krona(path: Path, factors: Mapping[str, KroneckerFactors], metadata: Mapping[str, Any]) -> Adapter:
    """Build a Kronecker adapter; layers whose factors differ from the most common ones are listed by name."""
    if not factors:
        raise BadFile(f"{path} holds no layers of an adapter")
    sizes = {name: (layer.w1.shape[0], layer.w1.shape[1]) for name, layer in factors.items()}
    common = Counter(sizes.values()).most_common(1)[0][0]
    others = tuple((name, *size) for name, size in sizes.items() if size != common)
    config = {"out_factor": common[0], "in_factor": common[1], "factors": others}
    space = Space.of("krona", config, [layer.spec for layer in factors.values()])
    values = {
        name: _frozen({"a": layer.w1, "b": layer.w2.reshape(space.shapes[name]["b"])})
        for name, layer in factors.items()
    }
    for name, layer in factors.items():
        if not (is_usable(layer.w1) and is_usable(layer.w2)):
            raise BadFile(f"{path}: the factors of {name} {NOT_FINITE}")
    return Adapter(space, values, Provenance(dict(metadata)))


def build_shifts(
    path: Path, specs: list[LayerSpec], shifts: Mapping[str, Tensor], metadata: Mapping[str, Any]
) -> Adapter:
    """Build a spectral-shift adapter."""
    if not specs:
        raise BadFile(f"{path} holds no layers of an adapter")
    space = Space.of("svdiff", {}, specs)
    return Adapter(space, {name: _frozen({"delta": shifts[name]}) for name in space.layers}, Provenance(dict(metadata)))


def _reduced(factors: Factors) -> Factors:
    """Put the scaling into ``up``, and a rank above the layer's own sizes down to them, without loss."""
    up, down = factors.up * factors.scaling, factors.down
    smallest = min(up.shape[0], down.shape[1])
    if factors.rank > smallest:
        low = recompress(up, down, smallest)
        up, down = low.up, low.down
    return Factors(factors.spec, up, down, 1.0)


def _frozen(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key: nn.Parameter(value.contiguous(), requires_grad=False) for key, value in tensors.items()}
