"""DiffuseKronA: a Kronecker product added to linear and convolution weights (arXiv 2402.17412).

``W' = W + A (x) B`` with ``A [a1, a2]`` and ``B [b1, b2]``, ``a1 b1 = out`` and ``a2 b2 = in``. The product is never
built for a forward pass: with the input as a matrix ``X [a2, b2]`` the change is ``A X B^T`` read row by row (eq. 4 in
row-major form), and the cheaper order of the two contractions is chosen from the shapes. The paper adapts linear
layers; a convolution's ``B [b1, b2, kh, kw]`` has its kernel, as in LyCORIS' LoKr.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from portraitist.adapters.layer import AdapterLayer, LowRank, Parameters, Scale, Way, bank_size, group_samples, times
from portraitist.adapters.layouts.krona import KRONA as KRONA_LAYOUT
from portraitist.adapters.layouts.krona import KronaConfig, factor_shapes
from portraitist.adapters.method import Method
from portraitist.adapters.spec import Kind, LayerSpec


class _KronaLayer(AdapterLayer):
    def __init__(self, spec: LayerSpec, config: KronaConfig) -> None:
        super().__init__(spec)
        self.config = config
        shapes = factor_shapes(spec, config)
        (self.a1, self.a2), (self.b1, self.b2) = shapes["a"], shapes["b"][:2]
        # Multiplications for one token, contracting with B first or with A first.
        positions = torch.Size(spec.shape[2:]).numel()
        b_first = self.a2 * self.b2 * self.b1 * positions + self.a1 * self.a2 * self.b1
        a_first = self.a1 * self.a2 * self.b2 + self.a1 * self.b2 * self.b1 * positions
        self._b_first = b_first <= a_first

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the factors' shapes."""
        return {"a": (self.a1, self.a2), "b": (self.b1, self.b2, *self.spec.shape[2:])}

    def initial(self, generator: torch.Generator) -> dict[str, Tensor]:
        """Return A and B as the configuration's `init` says."""
        first, second = self.config.init.split("-")
        if first == "random":
            a = torch.randn(self.a1, self.a2, generator=generator) / self.a2
        else:
            a = _draw(first, self.a1, self.a2, generator)
        shape = self.shapes()["b"]
        b = _draw(second, self.b1, torch.Size(shape[1:]).numel(), generator)
        return {"a": a, "b": b.reshape(shape)}

    def combined(self, parts: Sequence[Parameters], scales: Sequence[Scale]) -> dict[str, Tensor]:
        """Scale B, which has zeros at the start; a sum of several is no Kronecker product."""
        (params,), (scale,) = parts, scales
        return {"a": params["a"], "b": times(params["b"], scale)}

    def delta_weight(self, params: Parameters) -> Tensor:
        """Return ``A (x) B``."""
        first = 1 if bank_size(self, params) is None else 2
        a, b = params["a"], params["b"].flatten(first) * self.config.scale
        product = torch.einsum("...ij,...kl->...ikjl", a, b)
        return product.flatten(-4, -3).flatten(-2, -1).unflatten(-1, self.spec.shape[1:])

    def low_rank(self, params: Parameters, rank: int | None) -> LowRank:
        """Return the largest products of singular values: SVD(A (x) B) = SVD(A) (x) SVD(B)."""
        return kronecker_low_rank(params["a"], params["b"].flatten(1) * self.config.scale, rank)


class KronaLinear(_KronaLayer):
    """A Kronecker change of a linear layer: ``a [a1, a2]``, ``b [b1, b2]``."""

    def act(self, way: Way, x: Tensor, y: Tensor, params: Parameters) -> Tensor:
        """Return ``(A (x) B) x`` without building the product."""
        a, b = params["a"], params["b"] * self.config.scale
        bank = bank_size(self, params)
        grouped = x.flatten(0, -2) if bank is None else group_samples(x, bank).flatten(1, -2)
        blocks = grouped.unflatten(-1, (self.a2, self.b2))
        if bank is not None:  # one singleton axis for the tokens
            a, b = a.unsqueeze(1), b.unsqueeze(1)
        bt = b.transpose(-1, -2)
        change = a @ (blocks @ bt) if self._b_first else (a @ blocks) @ bt
        return change.reshape(*x.shape[:-1], self.spec.out_features)


class KronaConv(_KronaLayer):
    """A Kronecker change of a convolution: ``a [a1, a2]``, ``b [b1, b2, kh, kw]``; groups are not supported."""

    def act(self, way: Way, x: Tensor, y: Tensor, params: Parameters) -> Tensor:
        """Return the convolution of the a2 blocks of channels with B, mixed by A, or mixed first."""
        a, b = params["a"], params["b"] * self.config.scale
        bank = bank_size(self, params)
        if bank is not None:
            parts = zip(group_samples(x, bank), a, params["b"], strict=True)
            return torch.cat([self.act(way, part, y, {"a": each_a, "b": each_b}) for part, each_a, each_b in parts])
        blocks = x.unflatten(1, (self.a2, self.b2))
        change = _mix(a, self._convolve(blocks, b)) if self._b_first else self._convolve(_mix(a, blocks), b)
        return change.flatten(1, 2)

    def _convolve(self, blocks: Tensor, b: Tensor) -> Tensor:
        spec = self.spec
        y = F.conv2d(blocks.flatten(0, 1), b, None, spec.stride, spec.padding, spec.dilation)
        return y.unflatten(0, blocks.shape[:2])


def _mix(a: Tensor, blocks: Tensor) -> Tensor:
    """Return A applied over the axis of blocks, ``[samples, a2, b, h, w] -> [samples, a1, b, h, w]``."""
    return torch.einsum("ij,sjbhw->sibhw", a, blocks)


def kronecker_low_rank(a: Tensor, b: Tensor, rank: int | None) -> LowRank:
    """Return the best approximation of ``A (x) B`` of a rank, or the exact one, from two small decompositions."""
    ua, sa, va = torch.linalg.svd(a.float(), full_matrices=False)
    ub, sb, vb = torch.linalg.svd(b.float(), full_matrices=False)
    products = torch.outer(sa, sb).flatten()
    order = products.argsort(descending=True, stable=True)
    kept = order[: int((products > 0).sum()) if rank is None else rank]
    i, j = kept // len(sb), kept % len(sb)
    root = products[kept].sqrt()
    up = torch.einsum("ik,jk->ijk", ua[:, i], ub[:, j]).flatten(0, 1) * root
    down = torch.einsum("ki,kj->kij", va[i], vb[j]).flatten(1) * root[:, None]
    total = products.square().sum()
    return LowRank(up, down, float(products[kept].square().sum() / total) if total > 0 else 1.0)


def _draw(kind: str, rows: int, columns: int, generator: torch.Generator) -> Tensor:
    if kind == "zero":
        return torch.zeros(rows, columns)
    if kind in ("normal", "random"):
        return torch.randn(rows, columns, generator=generator) / columns
    if kind == "kaiming":  # uniform with a = sqrt(5), torch's default for linear layers
        return (torch.rand(rows, columns, generator=generator) * 2 - 1) / math.sqrt(columns)
    bound = math.sqrt(6 / (rows + columns))  # xavier uniform
    return (torch.rand(rows, columns, generator=generator) * 2 - 1) * bound


KRONA = Method(
    layout=KRONA_LAYOUT,
    summary="Kronecker factors on linear and convolution weights (DiffuseKronA)",
    paper="arXiv 2402.17412",
    layers={Kind.LINEAR: KronaLinear, Kind.CONV: KronaConv},
    # A sum of Kronecker products is none, but one of them at another strength is.
    sum_config=lambda configs: configs[0] if len(configs) == 1 else None,
)
