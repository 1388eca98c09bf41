"""SVDiff: spectral shifts, one number per singular value (arXiv 2303.11305).

``W' = U diag(relu(sigma + delta)) V^T`` (eq. 2) for linear, convolution (as ``[out, in kh kw]``; a transposed one as it
is stored, ``[in, out kh kw]``) and embedding weights; ``w' = w + delta`` for the scales of norms, without ReLU. Biases
stay. The frozen weight itself is never rebuilt from its decomposition: only the change ``e = relu(sigma + delta) -
sigma`` is computed, so delta = 0 is bit-exact.

The cheapest exact way is taken for each layer and input (t positions, a weight of r rows or columns at least):
- a nearly square matrix: ``W x + U diag(e) V^T x``, which costs the frozen layer's two passes and 3 t r^2
  multiplications (its backward pass goes through the decomposition alone);
- the same with many positions: the weight rebuilt, ``W + U diag(e) V^T``, one pass more;
- any other weight, with the singular vectors of its smaller side only and ``rho = e / sigma``:
  ``W' = (I + U diag(rho) U^T) W`` acts on the layer's output, ``W' = W (I + V diag(rho) V^T)`` on its input, for
  4 t r^2. Singular values too small to divide by are handled with both of their vectors.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from portraitist.adapters.layer import (
    AdapterLayer,
    Binding,
    LowRank,
    Parameters,
    Scale,
    Way,
    apply_weight,
    bank_size,
    from_singular,
    group_samples,
    require_plain,
    times,
)
from portraitist.adapters.layouts.svdiff import SVDIFF as SVDIFF_LAYOUT
from portraitist.adapters.layouts.svdiff import SvdiffConfig, norm_shapes, shift_shapes
from portraitist.adapters.method import Method
from portraitist.adapters.spec import Kind, LayerSpec
from portraitist.adapters.spectrum import Spectrum, spectra_of
from portraitist.errors import MissingBase


class SpectralLayer(AdapterLayer):
    """Spectral shifts of a matrix: ``delta [r]``, r singular values from the largest."""

    def __init__(self, spec: LayerSpec, config: SvdiffConfig) -> None:
        super().__init__(spec)
        self.config = config
        # The rows of their weights as matrices are not their outputs.
        self._apart = spec.kind is Kind.TRANSPOSED or spec.groups != 1
        self._pointwise = spec.kind is Kind.LINEAR or (
            spec.kind is Kind.CONV
            and not self._apart
            and spec.shape[2:] == spec.stride == (1, 1)
            and spec.padding == (0, 0)
        )
        self._dense = self._apart
        # The way of a matrix whose decomposition is known by one side.
        self._usual = Way.OUTPUT
        self._bound: tuple[Tensor, Tensor | None, Spectrum] | None = None

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return one number per shifted singular value."""
        return shift_shapes(self.spec, self.config)

    def initial(self, generator: torch.Generator) -> dict[str, Tensor]:
        """Return zeros."""
        return {"delta": torch.zeros(self.shapes()["delta"])}

    def joined(self, other: AdapterLayer) -> AdapterLayer | None:
        """Sum shifts inside the ReLU (eq. 4); the layer with more of them has room for the sum."""
        if not isinstance(other, SpectralLayer) or other.config.leak != self.config.leak:
            return None
        return max(self, other, key=lambda layer: layer.shapes()["delta"])

    def combined(self, parts: Sequence[Parameters], scales: Sequence[Scale]) -> dict[str, Tensor]:
        """Scale and add shifts inside the ReLU, as the authors do.

        Those that one has fewer count as zeros, and a bank's are added to a single adapter's or another bank's.
        """
        shifts = [times(part["delta"], scale) for part, scale in zip(parts, scales, strict=True)]
        if len(shifts) == 1:
            return {"delta": shifts[0]}
        length, sizes = self.shapes()["delta"][0], [bank_size(self, part) for part in parts]
        shifts = [F.pad(shift, (0, length - shift.shape[-1])) for shift in shifts]
        if any(size is not None for size in sizes):
            count = math.lcm(*(size or 1 for size in sizes))
            shifts = [
                shift.expand(count, -1) if size is None else shift.repeat_interleave(count // size, 0)
                for shift, size in zip(shifts, sizes, strict=True)
            ]
        return {"delta": torch.stack(shifts).sum(0)}

    def bind(self, weight: Tensor, bias: Tensor | None) -> None:
        """Look the weight's decomposition up, or compute it once, and see which way it opens."""
        self.bind_all([Binding(self, weight, bias)])

    @classmethod
    def bind_all(cls, bindings: Sequence[Binding]) -> None:
        """Look at all weights once; those of one shape are decomposed together."""
        for each in bindings:
            require_plain(each.weight, f"svdiff on {each.layer.spec.name}")
        for each, spectrum in zip(bindings, spectra_of([each.weight for each in bindings]), strict=True):
            assert isinstance(each.layer, SpectralLayer)
            each.layer._open(each.weight, each.bias, spectrum)

    def _open(self, weight: Tensor, bias: Tensor | None, spectrum: Spectrum) -> None:
        """See which way a decomposition opens."""
        self._bound = weight, bias, spectrum
        # Small enough to take the dense way: a convolution with fewer inputs than outputs (a UNet's first), and an
        # embedding with fewer rows than columns (positions), whose output knows the rows looked up only.
        one_sided, left = not spectrum.complete, spectrum.left
        open_end = left if self.spec.kind is Kind.EMBEDDING else not left and not self._pointwise
        self._dense = self._apart or (one_sided and open_end)
        if self._dense or not one_sided:
            self._usual = Way.OUTPUT
        elif left or not self._pointwise:
            self._usual = Way.FROZEN_OUTPUT
        else:  # the smallest singular values cannot be reached through the input
            self._usual = Way.INPUT if self.shapes()["delta"][0] <= spectrum.one_sided else Way.OUTPUT

    def way(self, x: Tensor, params: Parameters, alone: bool) -> Way:
        """Choose by the decomposition that there is; of a nearly square matrix by how many positions it meets."""
        weight, _, spectrum = self._base()
        if not (self._pointwise and spectrum.complete):
            return self._usual
        short, long = sorted((self.spec.out_features, self.spec.in_features))
        weights = bank_size(self, params) or 1
        positions = x.numel() // self.spec.in_features
        # Beyond the frozen layer's passes: positions long short + 2 weights long short^2, or 3 positions short^2.
        if positions * (3 * short - long) > 2 * weights * long * short:
            return Way.WEIGHT
        everything = params["delta"].shape[-1] == spectrum.sigma.shape[0]
        return Way.WHOLE if alone and everything and not weight.requires_grad else Way.OUTPUT

    def act(self, way: Way, x: Tensor, y: Tensor, params: Parameters) -> Tensor:
        """Return the whole output, ``x V diag(rho) V^T`` at the input, or the change of the output."""
        if way is Way.WHOLE:
            return self._whole(x, params)
        if way is Way.INPUT:
            return self._along_side(x, self._changes(params["delta"]), bank_size(self, params))
        return super().act(way, x, y, params) if self._dense else self._at_output(way, x, y, params)

    def _whole(self, x: Tensor, params: Parameters) -> Tensor:
        """Take the way whose backward pass needs the decomposition only."""
        (weight, bias, spectrum), delta = self._base(), params["delta"]
        device = x.device.type
        autocast = not x.is_meta and torch.is_autocast_enabled(device)
        dtype = torch.get_autocast_dtype(device) if autocast else x.dtype
        changes = self._spread(self._changes(delta), x, bank_size(self, params))
        sigma = self._spread(spectrum.sigma, x, None)
        fixed = [None if tensor is None else tensor.to(dtype) for tensor in (weight, bias, spectrum.u, spectrum.v)]
        y: Tensor = _ThroughSpectrum.apply(x.to(dtype), changes, sigma, self.spec, *fixed)  # type: ignore[no-untyped-call]
        return y

    def _at_output(self, way: Way, x: Tensor, y: Tensor, params: Parameters) -> Tensor:
        """Return the change by the singular values known by one side, and by those known by both."""
        weight, bias, spectrum = self._detached()
        changes, bank = self._changes(params["delta"]), bank_size(self, params)
        one_sided, rest = changes[..., : spectrum.one_sided], changes[..., spectrum.one_sided :]
        parts = []
        if one_sided.shape[-1] and way is Way.FROZEN_OUTPUT:  # an embedding's output is its right side
            linear = y if bias is None else y - (bias[:, None, None] if self.spec.kind is Kind.CONV else bias)
            parts.append(self._along_side(linear, one_sided, bank))
        elif one_sided.shape[-1]:
            parts.append(apply_weight(self.spec, self._along_side(x, one_sided, bank), weight.to(x.dtype)))
        if rest.shape[-1]:
            parts.append(self._through(x, rest, y.dtype, bank))
        return parts[0] if len(parts) == 1 else parts[0] + parts[1]

    def delta_weight(self, params: Parameters) -> Tensor:
        """Return ``U diag(e) V^T`` in the weight's shape."""
        weight, _, spectrum = self._detached()
        changes = self._changes(params["delta"])
        rho, rest = self._relative(changes), changes[..., spectrum.one_sided :]
        matrix = weight.flatten(1).to(changes.dtype)
        u, v = (vectors.to(matrix) for vectors in spectrum.both(spectrum.one_sided, changes.shape[-1]))
        change = (u * rest.unsqueeze(-2)) @ v.T
        if rho.shape[-1]:
            side = spectrum.side[:, : rho.shape[-1]].to(matrix)
            if spectrum.left:
                change = change + (side * rho.unsqueeze(-2)) @ (side.T @ matrix)
            else:
                change = change + (matrix @ side * rho.unsqueeze(-2)) @ side.T
        return change.unflatten(-1, self.spec.shape[1:]).to(params["delta"].dtype)

    def low_rank(self, params: Parameters, rank: int | None) -> LowRank:
        """Return the largest changes of singular values with their vectors; no decomposition is needed."""
        weight, _, spectrum = self._detached()
        changes = self._changes(params["delta"])
        count = self._relative(changes).shape[-1]
        matrix, side = weight.flatten(1).to(changes), spectrum.side[:, :count].to(changes)
        sigma = spectrum.sigma[:count].to(changes)
        both_u, both_v = (vectors.to(changes) for vectors in spectrum.both(spectrum.one_sided, changes.shape[-1]))
        u = side if spectrum.left else matrix @ side / sigma
        v = (side.T @ matrix / sigma[:, None]).T if spectrum.left else side
        return from_singular(torch.cat([u, both_u], 1), changes, torch.cat([v, both_v], 1).T, rank)

    def _base(self) -> tuple[Tensor, Tensor | None, Spectrum]:
        if self._bound is None:
            raise MissingBase(f"{self.spec.name}: spectral shifts mean nothing without the base they were trained on")
        return self._bound

    def _detached(self) -> tuple[Tensor, Tensor | None, Spectrum]:
        weight, bias, spectrum = self._base()
        return weight.detach(), None if bias is None else bias.detach(), spectrum

    def _changes(self, delta: Tensor) -> Tensor:
        """Return ``e = relu(sigma + delta) - sigma`` in float32 at least, exactly 0 where delta is."""
        delta = delta if delta.dtype is torch.float64 else delta.float()
        sigma = self._base()[2].sigma[: delta.shape[-1]].to(delta)
        change = torch.maximum(delta, -sigma)
        return change + self.config.leak * torch.clamp(delta + sigma, max=0.0) if self.config.leak else change

    def _relative(self, changes: Tensor) -> Tensor:
        """Return ``rho = e / sigma`` of the singular values known by one side; they are large enough to divide by."""
        spectrum = self._base()[2]
        one_sided = changes[..., : spectrum.one_sided]
        return one_sided / spectrum.sigma[: one_sided.shape[-1]].to(changes)

    def _along_side(self, hidden: Tensor, changes: Tensor, bank: int | None) -> Tensor:
        """Return ``S diag(rho) S^T`` applied to the channels, S being the side whose vectors are all there.

        With more than twice as many positions as channels the product of the three matrices is built once, which saves
        a quarter of the work, and of the memory for the backward pass.
        """
        rho = self._relative(changes)
        side = self._base()[2].side[:, : rho.shape[-1]].to(hidden.dtype)
        if bank is None and hidden.numel() > 2 * side.shape[0] ** 2:
            return self._mix(hidden, (side * rho.to(side.dtype)) @ side.T)
        return self._mix(self._mix(hidden, side.T) * self._spread(rho, hidden, bank).to(hidden.dtype), side)

    def _through(self, x: Tensor, changes: Tensor, dtype: torch.dtype, bank: int | None) -> Tensor:
        """Return ``U diag(e) V^T x`` for the last of the singular values, whose vectors on both sides are there."""
        spectrum = self._base()[2]
        first = self.shapes()["delta"][0] - changes.shape[-1]
        u, v = (vectors.to(dtype) for vectors in spectrum.both(first, first + changes.shape[-1]))
        if self.spec.kind is Kind.EMBEDDING:
            u, v, hidden = v, u, F.embedding(x, u)
        else:
            hidden = apply_weight(self.spec, x, v.T.unflatten(-1, self.spec.shape[1:]))
        return self._mix(hidden * self._spread(changes, hidden, bank).to(dtype), u)

    def _spread(self, values: Tensor, hidden: Tensor, bank: int | None) -> Tensor:
        return spread(values, hidden, self.spec.kind is Kind.CONV, bank)

    def _mix(self, hidden: Tensor, matrix: Tensor) -> Tensor:
        return mix(hidden, matrix, self.spec.kind is Kind.CONV)


class _ThroughSpectrum(torch.autograd.Function):
    """``W x + bias + U diag(e) V^T x`` for a matrix whose whole decomposition is known.

    The backward pass needs ``U^T g`` for the shifts, and goes on from there to the input: ``V diag(sigma + e) U^T g``,
    one product less than through W and the change. Only ``V^T x`` is kept for it.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        changes: Tensor,
        sigma: Tensor,
        spec: LayerSpec,
        weight: Tensor,
        bias: Tensor | None,
        u: Tensor,
        v: Tensor,
    ) -> Tensor:
        ctx.conv = spec.kind is Kind.CONV
        hidden = mix(x, v.T, ctx.conv)
        ctx.save_for_backward(hidden, changes, sigma, u, v)
        return apply_weight(spec, x, weight, bias) + mix(hidden * changes.to(hidden.dtype), u, ctx.conv)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        hidden, changes, sigma, u, v = ctx.saved_tensors
        inner = mix(grad, u.T, ctx.conv)
        grad_x = mix(inner * (sigma + changes).to(inner.dtype), v, ctx.conv) if ctx.needs_input_grad[0] else None
        grad_changes = (inner * hidden).to(changes.dtype).sum_to_size(changes.shape)
        return grad_x, grad_changes, None, None, None, None, None, None


def mix(hidden: Tensor, matrix: Tensor, conv: bool) -> Tensor:
    """Apply a matrix ``[out, in]`` to the channels: the last axis, or the second of a convolution's input."""
    if not conv:
        return F.linear(hidden, matrix)
    if hidden.is_contiguous():
        return (matrix @ hidden.flatten(2)).unflatten(2, hidden.shape[2:])
    return F.linear(hidden.movedim(1, -1), matrix).movedim(-1, 1)  # channels-last memory


def spread(values: Tensor, hidden: Tensor, conv: bool, bank: int | None) -> Tensor:
    """Lay ``[r]``, or ``[N, r]`` for a bank of N and as many groups of samples, out to meet hidden channels."""
    if bank is not None:
        samples = group_samples(hidden, bank).shape[1]
        values = values.repeat_interleave(samples, 0)
        return values[..., None, None] if conv else values.reshape(len(values), *(1,) * (hidden.ndim - 2), -1)
    return values[:, None, None] if conv else values


class NormShift(AdapterLayer):
    """Shifts of a norm's scale: ``delta [n]``, added without ReLU."""

    def __init__(self, spec: LayerSpec, config: SvdiffConfig) -> None:
        super().__init__(spec)
        self.config = config

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return one number per channel."""
        return norm_shapes(self.spec, self.config)

    def initial(self, generator: torch.Generator) -> dict[str, Tensor]:
        """Return zeros."""
        return {"delta": torch.zeros(self.spec.shape)}

    def delta_weight(self, params: Parameters) -> Tensor:
        """Return the shifts."""
        return params["delta"]

    def way(self, x: Tensor, params: Parameters, alone: bool) -> Way:
        """Change the weight: a changed scale costs nothing."""
        return Way.WEIGHT


def _sum_config(configs: Sequence[SvdiffConfig]) -> SvdiffConfig | None:
    """Shift as many singular values as the longest of the adapters; their sum stands inside the ReLU (eq. 4)."""
    if len({config.leak for config in configs}) > 1:
        return None
    ranks = [config.rank for config in configs if config.rank is not None]
    return replace(configs[0], rank=max(ranks) if len(ranks) == len(configs) else None)


SVDIFF = Method(
    layout=SVDIFF_LAYOUT,
    summary="spectral shifts: one number per singular value of every weight (SVDiff)",
    paper="arXiv 2303.11305",
    layers={
        Kind.LINEAR: SpectralLayer,
        Kind.CONV: SpectralLayer,
        Kind.TRANSPOSED: SpectralLayer,
        Kind.EMBEDDING: SpectralLayer,
        Kind.NORM: NormShift,
    },
    sum_config=_sum_config,
    full_rank=True,
)
