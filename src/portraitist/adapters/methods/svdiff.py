"""SVDiff: spectral shifts, one number per singular value (arXiv 2303.11305).

``W' = U diag(relu(sigma + delta)) V^T`` (eq. 2) for linear, convolution (as ``[out, in kh kw]``) and embedding
weights; ``w' = w + delta`` for the scales of norms, without ReLU. Biases stay. The frozen weight itself is never
rebuilt from its decomposition: only the change ``e = relu(sigma + delta) - sigma`` is computed, so delta = 0 is
bit-exact.

With ``rho = e / sigma`` the change needs the singular vectors of the smaller side only:
``W' = (I + U diag(rho) U^T) W`` acts on the layer's output, ``W' = W (I + V diag(rho) V^T)`` on its input. Singular
values too small to divide by are handled with both of their vectors.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from portraitist.adapters.layer import (
    AdapterLayer,
    Kind,
    LayerSpec,
    LowRank,
    Parameters,
    apply_weight,
    from_singular,
    group_samples,
)
from portraitist.adapters.registry import Method, MethodConfig
from portraitist.adapters.spectrum import Spectrum, spectrum_of
from portraitist.errors import BadConfig, MissingBase


@dataclass(frozen=True)
class SvdiffConfig(MethodConfig):
    """Configuration of SVDiff.

    Attributes:
        rank: Shift only this many of the largest singular values of each weight; None shifts all.
        leak: Slope of the ReLU below zero, so that gradients do not vanish there; the paper has 0.
    """

    rank: int | None = None
    leak: float = 0.0

    def __post_init__(self) -> None:
        if self.rank is not None and self.rank < 1:
            raise BadConfig(f"svdiff: rank must be at least 1, not {self.rank}")
        if not 0 <= self.leak < 1:
            raise BadConfig(f"svdiff: leak must be in [0, 1), not {self.leak}")


class SpectralLayer(AdapterLayer):
    """Spectral shifts of a matrix: ``delta [r]``, r singular values from the largest."""

    def __init__(self, spec: LayerSpec, config: SvdiffConfig) -> None:
        super().__init__(spec)
        self.config = config
        if spec.groups != 1:
            raise BadConfig(f"{spec.name}: svdiff does not adapt a convolution with {spec.groups} groups")
        left = spec.out_features <= spec.in_features
        # Small enough to take the dense way: a convolution with fewer inputs than outputs (a UNet's first), and an
        # embedding with fewer rows than columns (positions), whose output knows the rows looked up only.
        self._dense = (spec.kind is Kind.CONV and not left) or (spec.kind is Kind.EMBEDDING and left)
        self.changes_input = spec.kind is Kind.LINEAR and not left
        self.reads_output = not self.changes_input and not self._dense
        self._bound: tuple[Tensor, Tensor | None, Spectrum] | None = None

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return one number per shifted singular value."""
        full = min(self.spec.out_features, self.spec.in_features)
        return {"delta": (min(full, self.config.rank or full),)}

    def initial(self, generator: torch.Generator) -> dict[str, Tensor]:
        """Return zeros."""
        return {"delta": torch.zeros(self.shapes()["delta"])}

    def scaled(self, params: Parameters, scale: float) -> dict[str, Tensor]:
        """Scale the shifts inside the ReLU, as the authors do."""
        return {"delta": params["delta"] * scale}

    def bind(self, weight: Tensor, bias: Tensor | None) -> None:
        """Look the weight's decomposition up, or compute it once."""
        spectrum = spectrum_of(weight)
        self._bound = weight.detach(), None if bias is None else bias.detach(), spectrum
        if self.changes_input and self.shapes()["delta"][0] > spectrum.large:
            self.changes_input = False  # the smallest singular values cannot be reached through the input

    def changed_forward(self, x: Tensor, weight: Tensor, bias: Tensor | None, params: Parameters) -> Tensor | None:
        """Use a rebuilt weight where there are many more tokens than dimensions (linear layers, no bank)."""
        _, _, spectrum = self._base()
        delta = params["delta"]
        if self.spec.kind is not Kind.LINEAR or delta.ndim > 1 or delta.shape[0] > spectrum.large:
            return None
        tokens, r = x.shape[:-1].numel(), spectrum.side.shape[0]
        long = max(self.spec.out_features, self.spec.in_features)
        # Multiplications beyond the frozen layer's own, forward and backward.
        rebuilt = tokens * r * long + 6 * r * r * long
        added = min(3 * tokens * r * r + 2 * r**3, 4 * tokens * r * r)
        if rebuilt >= added:
            return None
        dtype = torch.get_autocast_dtype(x.device.type) if torch.is_autocast_enabled(x.device.type) else x.dtype
        rho, _ = self._relative_change(delta, spectrum)
        side = spectrum.side[:, : rho.shape[0]].to(dtype)
        y: Tensor = _RebuiltLinear.apply(x.to(dtype), rho, weight.to(dtype), side, spectrum.left)  # type: ignore[no-untyped-call]
        return y if bias is None else y + bias.to(dtype)

    def delta(self, x: Tensor, y: Tensor, params: Parameters) -> Tensor:
        """Return ``U diag(rho) U^T (y - bias)``; for an embedding ``y V diag(rho) V^T``, which is its row form."""
        if self._dense:
            return super().delta(x, y, params)
        _, bias, spectrum = self._base()
        rho, rest = self._relative_change(params["delta"], spectrum)
        if not self.reads_output:
            change = F.linear(self.delta_input(x, params), self._base()[0].to(x.dtype))
            return change + self._small_change(x, rest, spectrum, y.dtype)
        channels_last = self.spec.kind is not Kind.CONV
        linear = y if bias is None else y - (bias if channels_last else bias[:, None, None])
        hidden = linear if channels_last else linear.movedim(1, -1)
        change = _project(hidden, spectrum.side[:, : rho.shape[-1]].to(y.dtype), rho.to(y.dtype))
        change = change if channels_last else change.movedim(-1, 1)
        return change + self._small_change(x, rest, spectrum, y.dtype) if rest.shape[-1] else change

    def delta_input(self, x: Tensor, params: Parameters) -> Tensor:
        """Return ``x V diag(rho) V^T``: the frozen layer does the rest."""
        _, _, spectrum = self._base()
        rho, _ = self._relative_change(params["delta"], spectrum)
        return _project(x, spectrum.side[:, : rho.shape[-1]].to(x.dtype), rho.to(x.dtype))

    def delta_weight(self, params: Parameters) -> Tensor:
        """Return ``U diag(e) V^T`` in the weight's shape."""
        weight, _, spectrum = self._base()
        rho, rest = self._relative_change(params["delta"], spectrum)
        matrix = weight.flatten(1).to(rho.dtype)
        side = spectrum.side[:, : rho.shape[-1]].to(matrix)
        if spectrum.left:
            change = (side * rho.unsqueeze(-2)) @ (side.T @ matrix)
        else:
            change = (matrix @ side * rho.unsqueeze(-2)) @ side.T
        if rest.shape[-1]:
            u, v = (tensor[:, : rest.shape[-1]].to(matrix) for tensor in (spectrum.small_u, spectrum.small_v))
            change = change + (u * rest.unsqueeze(-2)) @ v.T
        return change.unflatten(-1, self.spec.shape[1:]).to(params["delta"].dtype)

    def low_rank(self, params: Parameters, rank: int | None) -> LowRank:
        """Return the largest changes of singular values with their vectors; no decomposition is needed."""
        weight, _, spectrum = self._base()
        rho, rest = self._relative_change(params["delta"], spectrum)
        count = rho.shape[-1]
        matrix, side = weight.flatten(1).to(rho.dtype), spectrum.side[:, :count].to(rho.dtype)
        sigma = spectrum.sigma[:count].to(rho.dtype)
        small_u, small_v = (t[:, : rest.shape[-1]].to(rho.dtype) for t in (spectrum.small_u, spectrum.small_v))
        u = side if spectrum.left else matrix @ side / sigma
        v = (side.T @ matrix / sigma[:, None]).T if spectrum.left else side
        change = torch.cat([rho * sigma, rest])
        return from_singular(torch.cat([u, small_u], 1), change, torch.cat([v, small_v], 1).T, rank)

    def _base(self) -> tuple[Tensor, Tensor | None, Spectrum]:
        if self._bound is None:
            raise MissingBase(f"{self.spec.name}: spectral shifts mean nothing without the base they were trained on")
        return self._bound

    def _relative_change(self, delta: Tensor, spectrum: Spectrum) -> tuple[Tensor, Tensor]:
        """Return ``rho = e / sigma`` of the singular values one can divide by, and ``e`` of the others."""
        large = spectrum.large
        delta = delta if delta.dtype is torch.float64 else delta.float()
        sigma = spectrum.sigma[: delta.shape[-1]].to(delta)
        below = torch.clamp(delta + sigma, max=0.0)
        change = torch.maximum(delta, -sigma) + self.config.leak * below
        return change[..., :large] / sigma[:large], change[..., large:]

    def _small_change(self, x: Tensor, change: Tensor, spectrum: Spectrum, dtype: torch.dtype) -> Tensor:
        """Return the part of the smallest singular values, ``U_s diag(e_s) V_s^T x``."""
        count = change.shape[-1]
        u, v = spectrum.small_u[:, :count].to(dtype), spectrum.small_v[:, :count].to(dtype)
        scaled = u * change.to(dtype).unsqueeze(-2)
        return apply_weight(self.spec, x, (scaled @ v.T).unflatten(-1, self.spec.shape[1:]))


class _RebuiltLinear(torch.autograd.Function):
    """``x W'^T`` with ``W' = (I + U diag(rho) U^T) W`` or ``W (I + V diag(rho) V^T)``, keeping no dense matrix.

    The changed weight is built again for the backward pass, and the shifts' gradient is read off the weight's:
    ``d rho_i = u_i^T (g^T x) W^T u_i``.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, rho: Tensor, weight: Tensor, side: Tensor, left: bool) -> Tensor:
        ctx.save_for_backward(x, rho, weight, side)
        ctx.left = left
        return x @ _RebuiltLinear.rebuild(rho, weight, side, left).T

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, rho, weight, side = ctx.saved_tensors
        grad_x = grad @ _RebuiltLinear.rebuild(rho, weight, side, ctx.left) if ctx.needs_input_grad[0] else None
        outer = grad.flatten(0, -2).T @ x.flatten(0, -2)
        inner = (side.T @ outer) * (side.T @ weight) if ctx.left else ((outer @ side) * (weight @ side)).T
        grad_rho = inner.sum(1)
        return grad_x, grad_rho.to(rho.dtype), None, None, None

    @staticmethod
    def rebuild(rho: Tensor, weight: Tensor, side: Tensor, left: bool) -> Tensor:
        """Return the changed weight."""
        spread = side * rho.to(side.dtype)
        return weight + (spread @ (side.T @ weight) if left else (weight @ spread) @ side.T)


def _project(hidden: Tensor, side: Tensor, rho: Tensor) -> Tensor:
    """Return ``hidden S diag(rho) S^T`` over the last axis; `rho` is ``[r]``, or ``[N, r]`` for N groups of samples.

    With more positions than dimensions the product of the three matrices is built once, which halves the work.
    """
    if rho.ndim == 2:
        grouped = group_samples(hidden @ side, rho.shape[0])
        spread = rho.reshape(rho.shape[0], *(1,) * (grouped.ndim - 2), -1)
        return (grouped * spread).flatten(0, 1) @ side.T
    if hidden.shape[:-1].numel() > side.shape[0]:
        return hidden @ ((side * rho) @ side.T)
    return (hidden @ side * rho) @ side.T


class NormShift(AdapterLayer):
    """Shifts of a norm's scale: ``delta [n]``, added without ReLU."""

    def __init__(self, spec: LayerSpec, config: SvdiffConfig) -> None:
        super().__init__(spec)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return one number per channel."""
        return {"delta": self.spec.shape}

    def initial(self, generator: torch.Generator) -> dict[str, Tensor]:
        """Return zeros."""
        return {"delta": torch.zeros(self.spec.shape)}

    def scaled(self, params: Parameters, scale: float) -> dict[str, Tensor]:
        """Scale the shifts."""
        return {"delta": params["delta"] * scale}

    def delta_weight(self, params: Parameters) -> Tensor:
        """Return the shifts."""
        return params["delta"]

    def rebuilds_weight(self, x: Tensor) -> bool:
        """Return True: a changed scale costs nothing."""
        return True


SVDIFF = Method(
    name="svdiff",
    summary="spectral shifts: one number per singular value of every weight (SVDiff)",
    paper="arXiv 2303.11305",
    config=SvdiffConfig,
    layers={
        Kind.LINEAR: SpectralLayer,
        Kind.CONV: SpectralLayer,
        Kind.EMBEDDING: SpectralLayer,
        Kind.NORM: NormShift,
    },
    # The sum of shifts stands inside the ReLU (eq. 4).
    sum_config=lambda configs: configs[0] if len(set(configs)) == 1 else None,
    full_rank=True,
)
