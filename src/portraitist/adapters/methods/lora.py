"""LoRA: a low-rank change of linear and convolution weights (arXiv 2106.09685).

``W' = W + alpha / rank * up @ down`` with ``down`` random and ``up`` zero at the start. A convolution's ``down`` has
the kernel and the stride, its ``up`` is 1x1. Initial values as PEFT's ``gaussian``: ``down ~ N(0, 1/rank)`` (standard
deviation), which is what diffusers' DreamBooth scripts use.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from portraitist.adapters.layer import (
    AdapterLayer,
    LowRank,
    Parameters,
    Scale,
    Way,
    apply_weight,
    bank_size,
    group_samples,
    recompress,
    side_by_side,
    times,
)
from portraitist.adapters.layouts.lora import LORA as LORA_LAYOUT
from portraitist.adapters.layouts.lora import LoraConfig, conv_shapes, linear_shapes
from portraitist.adapters.method import Method
from portraitist.adapters.spec import Kind, LayerSpec


class _LoraLayer(AdapterLayer):
    def __init__(self, spec: LayerSpec, config: LoraConfig) -> None:
        super().__init__(spec)
        self.config = config

    def low_rank(self, params: Parameters, rank: int | None) -> LowRank:
        up, down = params["up"].flatten(1) * self.config.scaling, params["down"].flatten(1)
        if rank is None or rank >= self.config.rank:
            return LowRank(up, down, 1.0)
        return recompress(up, down, rank)

    def combined(self, parts: Sequence[Parameters], scales: Sequence[Scale]) -> dict[str, Tensor]:
        """Stack the factors, ``up`` scaled."""
        up = [times(part["up"], scale) for part, scale in zip(parts, scales, strict=True)]
        return {"down": side_by_side([part["down"] for part in parts], 0), "up": side_by_side(up, 1)}

    def initial(self, generator: torch.Generator) -> dict[str, Tensor]:
        shapes = self.shapes()
        down = torch.randn(shapes["down"], generator=generator) / self.config.rank
        return {"down": down, "up": torch.zeros(shapes["up"])}


class LoraLinear(_LoraLayer):
    """LoRA on a linear layer: ``down [rank, in]``, ``up [out, rank]``."""

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the factors' shapes."""
        return linear_shapes(self.spec, self.config)

    def act(self, way: Way, x: Tensor, y: Tensor, params: Parameters) -> Tensor:
        """Return ``scaling * up(down(x))``."""
        down, up = params["down"], params["up"]
        bank = bank_size(self, params)
        if bank is None:
            return F.linear(F.linear(x, down), up * self.config.scaling)
        flat = group_samples(x, bank).reshape(bank, -1, x.shape[-1])
        change = flat @ down.transpose(1, 2) @ (up * self.config.scaling).transpose(1, 2)
        return change.reshape(*x.shape[:-1], self.spec.out_features)

    def delta_weight(self, params: Parameters) -> Tensor:
        """Return ``scaling * up @ down``."""
        return params["up"] @ params["down"] * self.config.scaling


class LoraConv(_LoraLayer):
    """LoRA on a convolution: ``down [rank, in, kh, kw]``, ``up [out, rank, 1, 1]``; groups are not supported."""

    def __init__(self, spec: LayerSpec, config: LoraConfig) -> None:
        super().__init__(spec, config)
        conv_shapes(spec, config)  # refuses what does not fit

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the factors' shapes."""
        return conv_shapes(self.spec, self.config)

    def act(self, way: Way, x: Tensor, y: Tensor, params: Parameters) -> Tensor:
        """Return the 1x1 ``up`` of the strided ``down``."""
        down, up = params["down"], params["up"] * self.config.scaling
        bank = bank_size(self, params)
        if bank is None:
            return F.conv2d(F.conv2d(x, down, None, self.spec.stride, self.spec.padding, self.spec.dilation), up)
        hidden = group_samples(apply_weight(self.spec, x, down), bank)
        mixed = torch.einsum("nor,nbrhw->nbohw", up.flatten(2), hidden)
        return mixed.flatten(0, 1)

    def delta_weight(self, params: Parameters) -> Tensor:
        """Return the product of the factors in the convolution's shape."""
        down, up = params["down"], params["up"]
        product = up.flatten(-3) @ down.flatten(-3) * self.config.scaling
        return product.unflatten(-1, self.spec.shape[1:])


def _sum_config(configs: Sequence[LoraConfig]) -> LoraConfig | None:
    """Add the ranks of adapters with the same scaling, and keep it."""
    if len({config.scaling for config in configs}) > 1:
        return None
    rank = sum(config.rank for config in configs)
    return LoraConfig(rank, None if configs[0].scaling == 1 else configs[0].scaling * rank)


LORA = Method(
    layout=LORA_LAYOUT,
    summary="low-rank factors on linear and convolution weights",
    paper="arXiv 2106.09685",
    layers={Kind.LINEAR: LoraLinear, Kind.CONV: LoraConv},
    sum_config=_sum_config,
)
