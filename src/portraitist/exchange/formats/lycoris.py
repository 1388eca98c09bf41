"""Kronecker adapters as LyCORIS' LoKr, which ComfyUI reads too.

A layer's change is ``scale * lokr_w1 (x) lokr_w2``. Either factor may be a product of two: ``lokr_w1_a @ lokr_w1_b``,
``lokr_w2_a @ lokr_w2_b``, the latter for convolutions also around a Tucker core ``lokr_t2``. The scale is alpha / rank
of the products, and 1 where both factors are whole, whatever alpha says. Module names are kohya's, or dotted.

We write whole factors. ComfyUI takes any of their sizes; the lycoris package itself only those it would choose, with
one factor for both sides of a layer.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, tensor

from portraitist.adapters.adapter import Adapter
from portraitist.adapters.outline import read_outline
from portraitist.adapters.spec import Kind
from portraitist.errors import BadFile
from portraitist.exchange.assembling import KroneckerFactors, build_krona
from portraitist.exchange.formats.format import Format
from portraitist.exchange.formats.kohya import flattened_name, has_two_encoders, resolve
from portraitist.exchange.model_notes import model_notes, network_notes
from portraitist.exchange.naming import Components, Naming
from portraitist.exchange.tensor_files import Tensors, write_tensors

_KEY = re.compile(r"(.+)\.lokr_w[12](_[ab])?")


def _sniff(path: Path) -> bool:
    return path.is_file() and any(_KEY.fullmatch(key) for key in read_outline(path).shapes)


def _load(path: Path, components: Components | None) -> Adapter:
    file, naming = Tensors.read(path), Naming(path, components)
    names = list(dict.fromkeys(match[1] for key in file.unused if (match := _KEY.fullmatch(key))))
    layers = resolve(naming, [name for name in names if "." not in name])
    for name in names:
        if "." in name:
            component, _, module = name.partition(".")
            layers[name] = naming.dotted(component, module)
    # All shapes are compared before the first product is multiplied out.
    planned = {layer: _plan_layer(file, naming, name, layer) for name, layer in layers.items()}
    file.require_all_used("LoKr")
    file.require_layers(planned)
    factors = {layer: multiply() for layer, multiply in planned.items()}
    return build_krona(path, factors, file.own_facts())


@dataclass(frozen=True)
class _Factor:
    """A factor, whole or as a product that is yet to be multiplied out.

    Attributes:
        shape: Of the whole.
        rank: Of the product; None if it is whole.
        multiply: Makes the whole.
    """

    shape: tuple[int, ...]
    rank: int | None
    multiply: Callable[[], Tensor]


def _plan_layer(file: Tensors, naming: Naming, name: str, layer: str) -> Callable[[], KroneckerFactors]:
    """Compare a layer's shapes, and return what multiplies its factors out."""
    first = _find_factor(file, f"{name}.lokr_w1", None)
    second = _find_factor(file, f"{name}.lokr_w2", file.take(f"{name}.lokr_t2"))
    alpha, rank, shape = file.take_number(f"{name}.alpha"), second.rank or first.rank, second.shape
    if second.rank and len(shape) == 2:  # products of convolutions are stored as matrices
        kernel = naming.kernel(layer)
        if shape[1] % math.prod(kernel) == 0:
            shape = (shape[0], shape[1] // math.prod(kernel), *kernel)
    if len(first.shape) != 2 or len(shape) not in (2, 4) or 0 in (*first.shape, *shape):
        raise BadFile(f"{file.path}: {name} has factors of shapes {first.shape} and {shape}, not a LoKr's")
    spec = naming.spec(layer, (first.shape[0] * shape[0], first.shape[1] * shape[1], *shape[2:]))
    for factor in (first, second):
        if factor.rank:
            naming.allow_product(layer, *factor.shape)
    scale = alpha / rank if rank and alpha is not None else 1.0
    return lambda: KroneckerFactors(spec, first.multiply(), second.multiply().reshape(shape).mul(scale))


def _find_factor(file: Tensors, key: str, core: Tensor | None) -> _Factor:
    """Find a factor's tensors and compare their shapes."""
    whole, left, right = file.take(key), file.take(f"{key}_a"), file.take(f"{key}_b")
    if whole is not None and left is None and right is None and core is None:
        return _Factor(tuple(whole.shape), None, lambda: whole)
    if whole is not None or left is None or right is None:
        raise BadFile(f"{file.path}: {key} is neither one matrix nor a product of two")
    wrong = f"{file.path}: {key} is a product of shapes {tuple(left.shape)} and {tuple(right.shape)}, which do not fit"
    if left.ndim != 2 or right.ndim not in (2, 4) or 0 in (*left.shape, *right.shape):
        raise BadFile(wrong)
    if core is None:
        if left.shape[1] != right.shape[0]:
            raise BadFile(wrong)
        shape = (left.shape[0], *right.shape[1:])
        return _Factor(shape, right.shape[0], lambda: (left @ right.flatten(1)).reshape(shape))
    if core.ndim != 4 or right.ndim != 2 or core.shape[:2] != (left.shape[0], right.shape[0]):
        raise BadFile(f"{wrong} the core of shape {tuple(core.shape)}")
    shape = (left.shape[1], right.shape[1], *core.shape[2:])
    return _Factor(shape, right.shape[0], lambda: torch.einsum("ijkl,ip,jr->prkl", core, left, right))


def _save(adapter: Adapter, path: Path, dtype: torch.dtype | None) -> None:
    scale, two_encoders = adapter.config.scale, has_two_encoders(adapter)  # type: ignore[attr-defined]
    tensors: dict[str, Tensor] = {}
    for layer, params in adapter.values.items():
        name = flattened_name(layer, two_encoders)
        tensors[f"{name}.lokr_w1"] = params["a"]
        tensors[f"{name}.lokr_w2"] = params["b"] * scale
        tensors[f"{name}.alpha"] = tensor(1.0)
    arguments = {"algo": "lokr", "full_matrix": "True"}
    notes = {**network_notes("lycoris.kohya", None, 1.0, arguments), **model_notes(adapter)}
    write_tensors(path, tensors, adapter.provenance.facts, dtype, adapter.layers, notes)


LOKR = Format(
    name="lokr",
    description="Kronecker factors for LyCORIS and ComfyUI (LoKr)",
    sniff=_sniff,
    load=_load,
    save=_save,
    holds={"krona": frozenset({Kind.LINEAR, Kind.CONV})},
)
