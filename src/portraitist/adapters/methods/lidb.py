"""Lightweight DreamBooth: a rank-one LoRA inside frozen random subspaces (HyperDreamBooth, arXiv 2307.06949).

``dW = A_aux A_train B_train B_aux`` with ``A_aux [out, a]`` and ``B_aux [b, in]`` frozen, orthonormal and drawn from a
seed and the layer's name, ``A_train [a, r]`` and ``B_train [r, b]`` trained: (a + b) r numbers a layer. The paper asks
for row-wise orthogonal auxiliary matrices, which no tall matrix can be; we read it as orthonormal basis vectors
(columns of ``A_aux``, rows of ``B_aux``).
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from portraitist.adapters.layer import (
    LowRank,
    Parameters,
    Scale,
    SeededLayer,
    Way,
    bank_size,
    group_samples,
    has_shape_only,
    recompress,
    side_by_side,
    times,
)
from portraitist.adapters.layouts.lidb import LIDB as LIDB_LAYOUT
from portraitist.adapters.layouts.lidb import LidbConfig, factor_shapes
from portraitist.adapters.method import Method
from portraitist.adapters.remembering import remembered
from portraitist.adapters.spec import Kind, LayerSpec

# Bytes of bases that are kept in memory; those of a Stable Diffusion XL denoiser have about as many.
_REMEMBERED = 2**30


@remembered(_REMEMBERED)
def auxiliary_basis(seed: int, name: str, side: str, size: int, dimension: int) -> Tensor:
    """Return orthonormal columns ``[size, dimension]``, float32, from a seed and a layer's name.

    The QR decomposition of a Gaussian matrix, in float64 on the CPU, with positive diagonal in R so that the result
    does not depend on the library's sign convention.
    """
    digest = hashlib.blake2b(f"{seed}/{name}/{side}".encode(), digest_size=8).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest, "little") >> 1)
    gaussian = torch.randn(size, dimension, generator=generator, dtype=torch.float64)
    q, r = torch.linalg.qr(gaussian)
    return (q * r.diagonal().sign()).float()


class LidbLinear(SeededLayer):
    """LiDB on a linear layer: ``a [a, r]`` on the output side, ``b [r, b]`` on the input side."""

    def __init__(self, spec: LayerSpec, config: LidbConfig) -> None:
        super().__init__(spec)
        self.config = config
        self._placed: tuple[Tensor, Tensor] | None = None
        factor_shapes(spec, config)  # refuses what does not fit

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the trained factors' shapes."""
        return factor_shapes(self.spec, self.config)

    def initial(self, generator: torch.Generator) -> dict[str, Tensor]:
        """Return ``A_train ~ N(0, 1/a)`` (variance) and ``B_train = 0``; our choice, the paper gives none."""
        a = torch.randn(self.config.a, self.config.rank, generator=generator) / self.config.a**0.5
        return {"a": a, "b": torch.zeros(self.config.rank, self.config.b)}

    def bases(self) -> tuple[Tensor, Tensor]:
        """Return ``A_aux [out, a]`` and ``B_aux [b, in]``."""
        config, spec = self.config, self.spec
        a_aux = auxiliary_basis(config.basis_seed, spec.name, "out", spec.out_features, config.a)
        b_aux = auxiliary_basis(config.basis_seed, spec.name, "in", spec.in_features, config.b)
        return a_aux, b_aux.T

    def drawn(self) -> Tensor:
        """Return the diagonals of the auxiliary bases, which hold a number of each basis vector."""
        return torch.cat([basis.diagonal() for basis in self.bases()])

    def factors(self, params: Parameters) -> tuple[Tensor, Tensor]:
        """Return the equal LoRA: ``up [.., out, r]`` and ``down [.., r, in]``."""
        a, b = params["a"], params["b"]
        if self._placed is None or (self._placed[0].device, self._placed[0].dtype) != (a.device, a.dtype):
            sizes = (self.spec.out_features, self.config.a), (self.config.b, self.spec.in_features)
            a_aux, b_aux = map(torch.empty, sizes) if has_shape_only(a) else self.bases()
            self._placed = (a_aux.to(a), b_aux.to(a))
        return self._placed[0] @ a, b @ self._placed[1]

    def combined(self, parts: Sequence[Parameters], scales: Sequence[Scale]) -> dict[str, Tensor]:
        """Stack the trained factors, ``B_train`` scaled: adapters in the same subspaces add exactly."""
        b = [times(part["b"], scale) for part, scale in zip(parts, scales, strict=True)]
        return {"a": side_by_side([part["a"] for part in parts], -1), "b": side_by_side(b, -2)}

    def act(self, way: Way, x: Tensor, y: Tensor, params: Parameters) -> Tensor:
        """Return the change through the equal LoRA, whose factors cost next to nothing to build."""
        up, down = self.factors(params)
        bank = bank_size(self, params)
        if bank is None:
            return F.linear(F.linear(x, down), up)
        grouped = group_samples(x, bank).flatten(1, -2)
        return (grouped @ down.transpose(1, 2) @ up.transpose(1, 2)).reshape(*x.shape[:-1], self.spec.out_features)

    def low_rank(self, params: Parameters, rank: int | None) -> LowRank:
        """Return the equal LoRA; exact unless a smaller rank is asked for."""
        up, down = self.factors(params)
        if rank is None or rank >= self.config.rank:
            return LowRank(up, down, 1.0)
        return recompress(up, down, rank)

    def delta_weight(self, params: Parameters) -> Tensor:
        """Return ``A_aux A_train B_train B_aux``."""
        up, down = self.factors(params)
        return up @ down


def _sum_config(configs: Sequence[LidbConfig]) -> LidbConfig | None:
    """Add the ranks of adapters that share their subspaces."""
    if len({(config.a, config.b, config.basis_seed) for config in configs}) > 1:
        return None
    return replace(configs[0], rank=sum(config.rank for config in configs))


LIDB = Method(
    layout=LIDB_LAYOUT,
    summary="a rank-one LoRA in frozen random subspaces (Lightweight DreamBooth)",
    paper="arXiv 2307.06949",
    layers={Kind.LINEAR: LidbLinear},
    sum_config=_sum_config,
)
