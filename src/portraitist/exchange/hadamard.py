"""LoHa's factors as LyCORIS and PEFT write them, from a file to an adapter.

``hada_w1_a [out, r]``, ``hada_w1_b [r, in]`` and the same for ``w2``. Convolutions have their kernel in ``in``, or in
Tucker cores ``hada_t1``, ``hada_t2 [r, r, kh, kw]``, around which the others are ``[r, out]`` and ``[r, in]``.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from portraitist.adapters.adapter import Adapter
from portraitist.adapters.files import is_usable
from portraitist.adapters.layouts.lora import STRENGTH_LIMIT
from portraitist.adapters.provenance import Provenance
from portraitist.adapters.space import Space
from portraitist.adapters.spec import LayerSpec
from portraitist.errors import BadFile
from portraitist.exchange.fused import is_fused, split_rows
from portraitist.exchange.naming import Naming
from portraitist.exchange.tensor_files import Tensors

SIDES = ("w1", "w2")


@dataclass(frozen=True)
class HadamardFactors:
    """A layer's change ``scaling * (w1_a @ w1_b) * (w2_a @ w2_b)`` as matrices.

    Attributes:
        spec: The layer.
        matrices: ``w1_a``, ``w2_a [out, r]``, ``w1_b``, ``w2_b [r, in]`` by name.
        scaling: alpha / rank.
    """

    spec: LayerSpec
    matrices: Mapping[str, Tensor]
    scaling: float

    @property
    def rank(self) -> int:
        """Return the larger of the two products' ranks."""
        return max(self.matrices[f"{side}_a"].shape[1] for side in SIDES)


def read_hadamard(
    file: Tensors, naming: Naming, stem: str, layer: str, scaling: Callable[[int], float]
) -> dict[str, HadamardFactors]:
    """Take a layer's tensors and check them against each other and against the base.

    Args:
        file: The file.
        naming: Knows the base.
        stem: What its keys begin with.
        layer: The layer's name.
        scaling: Gives alpha / rank for a rank.

    Returns:
        The layer's factors by its name; those of several layers where the base has what is one in the file as several.

    Raises:
        BadFile: If they do not fit.
    """
    where = f"{file.path}: {layer}"
    cores = [file.take(f"{stem}.hada_{name}") for name in ("t1", "t2")]
    parts = [
        _read_side(file, naming, f"{stem}.hada_{side}", core, layer) for side, core in zip(SIDES, cores, strict=True)
    ]
    (a1, b1, kernel), (a2, b2, other) = parts
    if kernel != other or a1.shape[0] != a2.shape[0] or b1.shape[1] != b2.shape[1]:
        raise BadFile(f"{where} has two products of different shapes, which do not form a LoHa")
    strength = scaling(b1.shape[0])
    if not abs(strength) < STRENGTH_LIMIT or not is_usable((a1 @ b1[:, :1]) * (a2 @ b2[:, :1]) * strength):
        raise BadFile(f"{where} has the strength {strength:g} (alpha / rank), which no LoHa has")
    if is_fused(layer):
        rows = zip(split_rows(where, layer, a1, b1.shape[1]), split_rows(where, layer, a2, b2.shape[1]), strict=True)
        return {
            part: HadamardFactors(
                naming.spec(part, (first.shape[0], b1.shape[1])), _named(first, b1, second, b2), strength
            )
            for (part, first), (_, second) in rows
        }
    spec = naming.spec(layer, (a1.shape[0], b1.shape[1] // math.prod(kernel), *kernel))
    return {layer: HadamardFactors(spec, _named(a1, b1, a2, b2), strength)}


def build_loha(path: Path, factors: Mapping[str, HadamardFactors], metadata: Mapping[str, Any]) -> Adapter:
    """Build a LoHa; where ranks or strengths differ, lower ranks are filled with zeros and strengths multiplied in."""
    if not factors:
        raise BadFile(f"{path} holds no layers of an adapter")
    first = next(iter(factors.values()))
    alike = all((each.rank, each.scaling) == (first.rank, first.scaling) for each in factors.values())
    rank = max(each.rank for each in factors.values())
    keep = alike and first.scaling > 0
    alpha = first.scaling * rank if keep and first.scaling != 1 else None
    space = Space.of("loha", {"rank": rank, "alpha": alpha}, [each.spec for each in factors.values()])
    values: dict[str, dict[str, Tensor]] = {}
    for name, each in factors.items():
        values[name] = {}
        for key, matrix in each.matrices.items():
            missing = rank - matrix.shape[1 if key.endswith("_a") else 0]
            filled = nn.functional.pad(matrix, (0, missing) if key.endswith("_a") else (0, 0, 0, missing))
            strength = each.scaling if key == "w2_a" and not keep else 1.0
            values[name][key] = nn.Parameter((filled * strength).contiguous(), requires_grad=False)
    return Adapter(space, values, Provenance(dict(metadata)))


def _named(a1: Tensor, b1: Tensor, a2: Tensor, b2: Tensor) -> dict[str, Tensor]:
    return {"w1_a": a1, "w1_b": b1, "w2_a": a2, "w2_b": b2}


def _read_side(
    file: Tensors, naming: Naming, key: str, core: Tensor | None, layer: str
) -> tuple[Tensor, Tensor, tuple[int, ...]]:
    """Return one product as ``a [out, r]``, ``b [r, in kh kw]``, and the kernel."""
    a, b = file.take_pair(f"{key}_a", f"{key}_b")
    wrong = f"{file.path}: {key} is a product of shapes {tuple(a.shape)} and {tuple(b.shape)}, which do not fit"
    if a.ndim != 2 or b.ndim != 2 or 0 in (*a.shape, *b.shape):
        raise BadFile(wrong)
    if core is None:
        kernel = () if is_fused(layer) else naming.kernel(layer)
        if a.shape[1] != b.shape[0] or b.shape[1] % math.prod(kernel):
            raise BadFile(wrong)
        naming.allow_product(layer, a.shape[0], b.shape[1])
        return a, b, kernel
    if core.ndim != 4 or core.shape[:2] != (a.shape[0], b.shape[0]) or is_fused(layer):
        raise BadFile(f"{wrong} the core of shape {tuple(core.shape)}")
    kernel = tuple(core.shape[2:])
    naming.allow_product(layer, a.shape[1], b.shape[1], *kernel)
    return a.T, torch.einsum("ijkl,jr->irkl", core, b).flatten(1), kernel
