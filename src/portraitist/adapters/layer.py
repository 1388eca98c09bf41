"""The contract between a method and the layers it adapts.

A method computes the *change of a frozen layer's output* from parameters handed to it. The parameters may be leaves
(training), tensors with history (a weight generator's output) or tensors read from a file; each may carry a leading
bank axis ``[N, ...]``, and then the batch is N equal groups of samples, one adapter each.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensor
from torch.nn import functional as F

Parameters = Mapping[str, Tensor]


class Kind(Enum):
    """Kinds of weight an adapter can change."""

    LINEAR = "linear"
    CONV = "conv"
    TRANSPOSED = "transposed"
    NORM = "norm"
    EMBEDDING = "embedding"


@dataclass(frozen=True)
class LayerSpec:
    """What a method may know about a layer without its weights.

    Attributes:
        name: Component and module path, e.g. ``unet.mid_block.attentions.0.proj_in``.
        kind: Kind of the weight.
        shape: Shape of the weight as torch stores it.
        stride, padding, dilation, groups: Geometry of a convolution.
        bias: Shape of the bias, None without one.
        output_padding: Rows and columns that a transposed convolution appends.
    """

    name: str
    kind: Kind
    shape: tuple[int, ...]
    stride: tuple[int, ...] = (1, 1)
    padding: tuple[int, ...] = (0, 0)
    dilation: tuple[int, ...] = (1, 1)
    groups: int = 1
    bias: tuple[int, ...] | None = None
    output_padding: tuple[int, ...] = (0, 0)

    @property
    def out_features(self) -> int:
        """Rows of the weight as a matrix; the inputs of a transposed convolution."""
        return self.shape[0]

    @property
    def in_features(self) -> int:
        """Columns of the weight as a matrix: input channels of a group times kernel positions."""
        return int(torch.Size(self.shape[1:]).numel())

    @classmethod
    def of(cls, name: str, module: nn.Module) -> "LayerSpec | None":
        """Describe a module, or return None if no method can adapt it."""
        if isinstance(module, nn.Linear):
            # Not the weight's own shape: one in fewer bits is packed.
            return cls(name, Kind.LINEAR, (module.out_features, module.in_features), bias=_shape(module.bias))
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            if module.padding_mode != "zeros" or isinstance(module.padding, str):
                return None
            return cls(
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
            return cls(name, Kind.NORM, tuple(module.weight.shape), bias=_shape(module.bias))
        if isinstance(module, nn.Embedding):
            return cls(name, Kind.EMBEDDING, tuple(module.weight.shape))
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


class AdapterLayer(ABC):
    """One layer's part of an adapter: shapes, initial values, and the change of output, input or weight.

    A layer object holds no parameters; it is a set of formulas for one `LayerSpec` and one method configuration. Some
    methods also need data that depends on the frozen weight alone; they get it in `bind`.

    Attributes:
        changes_input: The change is made by `delta_input` on the layer's input instead of by `delta`.
        reads_output: `delta` uses the frozen output `y`.
        reads_weight: The formulas need the frozen weight itself, which one in fewer bits does not show.
        draws: The formulas have frozen numbers that are drawn from a seed and not kept in files; see `drawn`.
    """

    changes_input: bool = False
    reads_output: bool = False
    reads_weight: bool = False
    draws: bool = False

    def __init__(self, spec: LayerSpec) -> None:
        self.spec = spec

    def bind(self, weight: Tensor, bias: Tensor | None) -> None:  # noqa: B027 - most methods need nothing
        """Prepare what depends on the frozen weight and bias; called before the first use."""

    def drawn(self) -> Tensor:
        """Return a few of the frozen numbers that are drawn from a seed; only for layers that say `draws`."""
        raise TypeError(f"{self.spec.name}: this layer draws nothing")

    @abstractmethod
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the parameters' shapes, without a bank axis."""

    @abstractmethod
    def initial(self, generator: torch.Generator) -> dict[str, Tensor]:
        """Return initial float32 parameters that leave the layer unchanged."""

    @abstractmethod
    def scaled(self, params: Parameters, scale: float) -> dict[str, Tensor]:
        """Return the parameters of the same adapter at another strength."""

    @abstractmethod
    def delta_weight(self, params: Parameters) -> Tensor:
        """Return the dense change of the weight, shape ``spec.shape`` (``[N, *spec.shape]`` for a bank)."""

    def delta(self, x: Tensor, y: Tensor, params: Parameters) -> Tensor:
        """Return the change of the layer's output.

        Args:
            x: The layer's input.
            y: The frozen layer's output for `x`.
            params: Parameters in the dtype of `x`, perhaps with a bank axis.
        """
        return apply_weight(self.spec, x, self.delta_weight(params))

    def delta_input(self, x: Tensor, params: Parameters) -> Tensor:
        """Return the change of the input with the same effect; only for layers that say `changes_input`."""
        raise TypeError(f"{self.spec.name}: this layer changes its output, not its input")

    def changed_forward(self, x: Tensor, weight: Tensor, bias: Tensor | None, params: Parameters) -> Tensor | None:
        """Return the changed layer's whole output where one pass is cheaper than two, else None.

        Only asked when no other adapter is on the layer.
        """
        return None

    def rebuilds_weight(self, x: Tensor, params: Parameters) -> bool:
        """Say whether, for this input, one pass with a changed weight is cheaper than adding a change to the output."""
        return False

    def low_rank(self, params: Parameters, rank: int | None) -> LowRank:
        """Return the best approximation of the change of that rank, or the exact one; no bank axis.

        Methods that know their own decomposition override this dense one.
        """
        return decompose_low_rank(self.delta_weight(params).flatten(1), rank)

    def added(self, parts: Sequence[Parameters]) -> dict[str, Tensor]:
        """Return parameters of the sum of several adapters, for the configuration that the method's `sum_config` gives.

        `self` is a layer of that configuration, the parts may have others. Only called when the method has one.
        """
        return {name: torch.stack([part[name] for part in parts]).sum(0) for name in parts[0]}

    def joined(self, other: "AdapterLayer") -> "AdapterLayer | None":
        """Return the layer whose `added` parameters both on one weight act with, where their changes do not add up."""
        return None

    def delta_bias(self, params: Parameters) -> Tensor | None:
        """Return the change of the bias for methods that rebuild weights; None when the bias stays."""
        return None


def bank_size(layer: AdapterLayer, params: Parameters) -> int | None:
    """Return how many adapters a layer's parameters hold on a leading bank axis, None for a single one."""
    key, shape = next(iter(layer.shapes().items()))
    return params[key].shape[0] if params[key].ndim > len(shape) else None


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
    if weight.ndim > len(spec.shape):
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
