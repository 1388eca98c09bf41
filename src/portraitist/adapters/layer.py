"""The contract between a method and the layers it adapts.

A method computes the *change of a frozen layer's output* from parameters handed to it. The parameters may be leaves
(training), tensors with history (a weight generator's output) or tensors read from a file; each may carry a leading
bank axis ``[N, ...]``, and then the batch is N equal groups of samples, one adapter each.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensor
from torch.nn import functional as F

from portraitist.adapters.spec import Kind, LayerSpec
from portraitist.errors import BadConfig

Parameters = Mapping[str, Tensor]
# A strength: of an adapter, or of every adapter of a bank, ``[N]``.
Scale = float | Tensor
# Methods that do without the weights of linear layers, in words: for bases in fewer bits.
WITHOUT_WEIGHTS = "lora, krona, loha or lidb"


def describe_layer(name: str, module: nn.Module) -> LayerSpec | None:
    """Describe a module, or return None if no method can adapt it."""
    if isinstance(module, nn.Linear):
        # Not the weight's own shape: one in fewer bits is packed.
        return LayerSpec(name, Kind.LINEAR, (module.out_features, module.in_features), bias=_shape(module.bias))
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        if module.padding_mode != "zeros" or isinstance(module.padding, str):
            return None
        return LayerSpec(
            name,
            Kind.CONV if isinstance(module, nn.Conv2d) else Kind.TRANSPOSED,
            tuple(module.weight.shape),
            module.stride,
            module.padding,
            module.dilation,
            module.groups,
            _shape(module.bias),
            module.output_padding,
        )
    if isinstance(module, nn.GroupNorm | nn.LayerNorm) and module.weight is not None and module.weight.ndim == 1:
        return LayerSpec(name, Kind.NORM, tuple(module.weight.shape), bias=_shape(module.bias))
    if isinstance(module, nn.Embedding):
        return LayerSpec(name, Kind.EMBEDDING, tuple(module.weight.shape))
    return None


def has_shape_only(tensor: Tensor) -> bool:
    """Say whether a tensor holds no numbers: on the meta device, or one of torch's fake tensors."""
    return tensor.is_meta or isinstance(tensor, FakeTensor)


def _shape(tensor: Tensor | None) -> tuple[int, ...] | None:
    return None if tensor is None else tuple(tensor.shape)


@dataclass(frozen=True)
class LowRank:
    """A low-rank change of a weight as a matrix: ``up @ down``, ``up [out, k]``, ``down [k, in]``.

    Attributes:
        up, down: The factors, each with the square root of the singular values where they come from a decomposition.
        energy: Kept part of the change's squared Frobenius norm, 1 when exact.
    """

    up: Tensor
    down: Tensor
    energy: float


class Way(Enum):
    """Where a layer's change enters the computation. Those of several adapters on a layer are added up at each place.

    Attributes:
        INPUT: `act` returns what is added to the input; the frozen layer does the rest.
        OUTPUT: `act` returns what is added to the output, from the input.
        FROZEN_OUTPUT: `act` returns what is added to the output, from the frozen output `y`.
        WEIGHT: The layer is computed once, with `delta_weight` added to its weight.
        WHOLE: `act` returns the whole changed output, in one pass; only for an adapter that is alone on its layer.
    """

    INPUT = "input"
    OUTPUT = "output"
    FROZEN_OUTPUT = "frozen output"
    WEIGHT = "weight"
    WHOLE = "whole"


class AdapterLayer(ABC):
    """One layer's part of an adapter: shapes, initial values, and the change of output, input or weight.

    A layer object holds no parameters; it is a set of formulas for one `LayerSpec` and one method configuration. Some
    methods also need data that depends on the frozen weight alone; they get it in `bind`. A parameter that is called
    ``bias`` is the change of the layer's bias.
    """

    def __init__(self, spec: LayerSpec) -> None:
        self.spec = spec

    def bind(self, weight: Tensor, bias: Tensor | None) -> None:  # noqa: B027 - most methods need nothing
        """Prepare what depends on the frozen weight and bias; called before the first use.

        Raises:
            BadConfig: If the formulas need the numbers of a weight that is held in fewer bits; see `require_plain`.
        """

    @classmethod
    def bind_all(cls, bindings: Sequence["Binding"]) -> None:
        """Bind layers of this class; a class that is quicker with all weights at once does so here."""
        for binding in bindings:
            binding.layer.bind(binding.weight, binding.bias)

    @abstractmethod
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the parameters' shapes, without a bank axis."""

    @abstractmethod
    def initial(self, generator: torch.Generator) -> dict[str, Tensor]:
        """Return initial float32 parameters that leave the layer unchanged."""

    def combined(self, parts: Sequence[Parameters], scales: Sequence[Scale]) -> dict[str, Tensor]:
        """Return parameters of the sum of several adapters, each at a strength; of one, those at another strength.

        Args:
            parts: Parameters of one adapter of this layer's own configuration; or of several, also of others, where
                this layer has the configuration that the method's `sum_config` gives.
            scales: A strength for each; for a bank perhaps one for every adapter in it, ``[N]``.
        """
        pairs = list(zip(parts, scales, strict=True))
        return {name: _sum([times(part[name], scale) for part, scale in pairs]) for name in parts[0]}

    def joined(self, other: "AdapterLayer") -> "AdapterLayer | None":
        """Return the layer whose `combined` both on one weight act with, where their changes do not add up."""
        return None

    def way(self, x: Tensor, params: Parameters, alone: bool) -> Way:
        """Choose the cheapest way for an input.

        Args:
            x: The layer's input.
            params: Parameters, perhaps with a bank axis.
            alone: No other adapter is on the layer, so that `Way.WHOLE` may be chosen.
        """
        return Way.OUTPUT

    def act(self, way: Way, x: Tensor, y: Tensor, params: Parameters) -> Tensor:
        """Return what the chosen way asks for; never called for `Way.WEIGHT`.

        Args:
            way: What `way` chose.
            x: The layer's input.
            y: The frozen layer's output for `x`, where the way is an output's; else the input again.
            params: Parameters, perhaps with a bank axis; in the dtype of `x` for an input, of `y` for an output.
        """
        return apply_weight(self.spec, x, self.delta_weight(params))

    @abstractmethod
    def delta_weight(self, params: Parameters) -> Tensor:
        """Return the dense change of the weight, shape ``spec.shape`` (``[N, *spec.shape]`` for a bank)."""

    def low_rank(self, params: Parameters, rank: int | None) -> LowRank:
        """Return the best approximation of the change of that rank, or the exact one; no bank axis.

        Methods that know their own decomposition override this dense one.
        """
        return decompose_low_rank(self.delta_weight(params).flatten(1), rank)

    @cached_property
    def _first(self) -> tuple[str, int]:
        """Return the name of the first parameter and how many axes it has without a bank."""
        name, shape = next(iter(self.shapes().items()))
        return name, len(shape)


@dataclass(frozen=True)
class Binding:
    """A layer with the frozen weight and bias that it is to be bound to."""

    layer: AdapterLayer
    weight: Tensor
    bias: Tensor | None

    @classmethod
    def to(cls, layer: AdapterLayer, module: Any) -> "Binding":
        """Return what binds a layer to a module."""
        return cls(layer, module.weight, getattr(module, "bias", None))


def bind_layers(bindings: Sequence[Binding]) -> None:
    """Bind layers of any kind to their weights, those of a kind together.

    Raises:
        BadConfig: As `AdapterLayer.bind` does.
    """
    kinds: dict[type[AdapterLayer], list[Binding]] = {}
    for binding in bindings:
        kinds.setdefault(type(binding.layer), []).append(binding)
    for kind, own in kinds.items():
        kind.bind_all(own)


class SeededLayer(AdapterLayer):
    """A layer whose formulas have frozen numbers that are drawn from a seed and not kept in files."""

    @abstractmethod
    def drawn(self) -> Tensor:
        """Return a few of these numbers, to tell whether two machines draw the same."""


def bank_size(layer: AdapterLayer, params: Parameters) -> int | None:
    """Return how many adapters a layer's parameters hold on a leading bank axis, None for a single one."""
    name, axes = layer._first
    value = params[name]
    return value.shape[0] if value.ndim > axes else None


def times(value: Tensor, scale: Scale) -> Tensor:
    """Scale a parameter, that of a bank perhaps by one number for every adapter, ``[N]``."""
    return value * (scale.view(-1, *(1,) * (value.ndim - 1)).to(value) if isinstance(scale, Tensor) else scale)


def scaled(layer: AdapterLayer, params: Parameters, scale: Scale) -> Parameters:
    """Return the parameters of the same adapter at another strength, themselves at 1."""
    return params if isinstance(scale, float) and scale == 1.0 else layer.combined([params], [scale])


def require_plain(weight: Tensor, what: str) -> None:
    """Refuse what needs the numbers of a weight that is held in fewer bits.

    Raises:
        BadConfig: If it is.
    """
    if not weight.is_floating_point():
        raise BadConfig(
            f"{what} needs the weight, which this base holds in fewer bits; load the base in full, or use"
            f" {WITHOUT_WEIGHTS}"
        )


def _sum(tensors: Sequence[Tensor]) -> Tensor:
    return tensors[0] if len(tensors) == 1 else torch.stack(list(tensors)).sum(0)


def side_by_side(tensors: Sequence[Tensor], axis: int) -> Tensor:
    """Put factors side by side; one alone stays what it is."""
    return tensors[0] if len(tensors) == 1 else torch.cat(list(tensors), axis)


def decompose_low_rank(matrix: Tensor, rank: int | None) -> LowRank:
    """Return the best low-rank approximation of a matrix by its singular value decomposition."""
    u, sigma, vt = torch.linalg.svd(matrix.float(), full_matrices=False)
    return from_singular(u, sigma, vt, rank)


def recompress(up: Tensor, down: Tensor, rank: int | None) -> LowRank:
    """Return the best approximation of ``up @ down`` of a smaller rank, by decomposing the small middle only."""
    q_up, r_up = torch.linalg.qr(up.float())
    q_down, r_down = torch.linalg.qr(down.float().T)
    u, sigma, vt = torch.linalg.svd(r_up @ r_down.T)
    return from_singular(q_up @ u, sigma, vt @ q_down.T, rank)


def from_singular(u: Tensor, sigma: Tensor, vt: Tensor, rank: int | None) -> LowRank:
    """Keep the `rank` largest terms of ``u diag(sigma) vt`` (None: all but zeros), sigma in any order, of any sign."""
    order = sigma.abs().argsort(descending=True, stable=True)
    kept = order[: int((sigma != 0).sum()) if rank is None else rank]
    root = sigma[kept].abs().sqrt()
    total = sigma.square().sum()
    energy = float(sigma[kept].square().sum() / total) if total > 0 else 1.0
    return LowRank(u[:, kept] * (root * sigma[kept].sign()), root[:, None] * vt[kept], energy)


def apply_weight(spec: LayerSpec, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Apply a layer's linear map with another weight, with or without a bank axis on it.

    Args:
        spec: The layer.
        x: Input; its first axis holds N equal groups when the weight has a bank axis.
        weight: ``spec.shape`` or ``[N, *spec.shape]``.
        bias: Added to the output; None adds nothing. Shape of the layer's bias, or with a bank axis.
    """
    if is_bank(spec, weight):
        return _apply_bank(spec, x, weight, bias)
    if spec.kind is Kind.LINEAR:
        return F.linear(x, weight, bias)
    if spec.kind is Kind.CONV:
        return F.conv2d(x, weight, bias, spec.stride, spec.padding, spec.dilation, spec.groups)
    if spec.kind is Kind.TRANSPOSED:
        return F.conv_transpose2d(
            x, weight, bias, spec.stride, spec.padding, spec.output_padding, spec.groups, spec.dilation
        )
    if spec.kind is Kind.EMBEDDING:
        return F.embedding(x, weight)
    raise TypeError(f"{spec.name}: a {spec.kind.value} layer is not linear in its input")


def is_bank(spec: LayerSpec, weight: Tensor) -> bool:
    """Say whether a layer's weight has a bank axis."""
    return weight.ndim > len(spec.shape)


def _apply_bank(spec: LayerSpec, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Apply one weight to each of N groups of samples."""
    count = weight.shape[0]
    grouped = group_samples(x, count)
    if spec.kind is Kind.LINEAR:
        flat = grouped.reshape(count, -1, x.shape[-1])
        y = torch.bmm(flat, weight.transpose(1, 2))
        if bias is not None:
            y = y + bias.reshape(-1, 1, bias.shape[-1])
        return y.reshape(*x.shape[:-1], spec.out_features)
    if spec.kind is Kind.EMBEDDING:
        offsets = torch.arange(count, device=x.device).view(-1, *(1,) * (grouped.ndim - 1)) * spec.shape[0]
        return F.embedding((grouped + offsets).reshape(x.shape), weight.reshape(-1, spec.shape[1]))
    biases = [None] * count if bias is None else (bias if bias.ndim == 2 else bias.expand(count, -1)).unbind(0)
    return torch.cat([apply_weight(spec, g, w, b) for g, w, b in zip(grouped, weight, biases, strict=True)])


def group_samples(x: Tensor, count: int) -> Tensor:
    """Split the first axis into ``[count, samples per adapter]``.

    Raises:
        ValueError: If the samples are not N equal groups.
    """
    if x.shape[0] % count:
        raise ValueError(f"a bank of {count} adapters needs a batch of {count} equal groups, got {x.shape[0]} samples")
    return x.unflatten(0, (count, x.shape[0] // count))
