"""LoHa: the elementwise product of two low-rank matrices added to a weight (FedPara, arXiv 2108.06098; LyCORIS).

``W' = W + alpha / rank * (w1_a @ w1_b) * (w2_a @ w2_b)``, a convolution's weight as a matrix ``[out, in kh kw]``. With
four factors of rank r the change has rank r * r at most: the products of their columns, and of their rows, are an exact
LoRA of that rank. Initial values as in LyCORIS: ``w1_a ~ N(0, 0.1)``, ``w1_b`` and ``w2_b ~ N(0, 1)``, ``w2_a = 0``.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from portraitist.adapters.layer import AdapterLayer, LowRank, Parameters, Scale, recompress, times
from portraitist.adapters.layouts.loha import LOHA as LOHA_LAYOUT
from portraitist.adapters.layouts.loha import LohaConfig, product_shapes
from portraitist.adapters.method import Method
from portraitist.adapters.spec import Kind, LayerSpec

_FIRST_DEVIATION = 0.1


class LohaLayer(AdapterLayer):
    """A Hadamard change of a linear layer or a convolution: ``w1_a``, ``w2_a [out, r]``, ``w1_b``, ``w2_b [r, in]``."""

    def __init__(self, spec: LayerSpec, config: LohaConfig) -> None:
        super().__init__(spec)
        self.config = config
        product_shapes(spec, config)  # refuses what does not fit

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the factors' shapes."""
        return product_shapes(self.spec, self.config)

    def initial(self, generator: torch.Generator) -> dict[str, Tensor]:
        """Return normal numbers, and zeros in ``w2_a``."""
        drawn = {name: torch.randn(shape, generator=generator) for name, shape in self.shapes().items()}
        return {**drawn, "w1_a": _FIRST_DEVIATION * drawn["w1_a"], "w2_a": torch.zeros_like(drawn["w2_a"])}

    def combined(self, parts: Sequence[Parameters], scales: Sequence[Scale]) -> dict[str, Tensor]:
        """Scale ``w2_a``, which has zeros at the start; a sum of several is no LoHa."""
        (params,), (scale,) = parts, scales
        return {**params, "w2_a": times(params["w2_a"], scale)}

    def delta_weight(self, params: Parameters) -> Tensor:
        """Return the product of the two products in the weight's shape."""
        first, second = params["w1_a"] @ params["w1_b"], params["w2_a"] @ params["w2_b"]
        return (first * second * self.config.scaling).unflatten(-1, self.spec.shape[1:])

    def low_rank(self, params: Parameters, rank: int | None) -> LowRank:
        """Return the products of all pairs of columns and of rows, exactly; decomposed where that is larger."""
        up = (params["w1_a"].unsqueeze(2) * params["w2_a"].unsqueeze(1)).flatten(1) * self.config.scaling
        down = (params["w1_b"].unsqueeze(1) * params["w2_b"].unsqueeze(0)).flatten(0, 1)
        most = min(up.shape[0], down.shape[1])
        if up.shape[1] <= min(most, rank or most):
            return LowRank(up, down, 1.0)
        return recompress(up, down, min(most, rank or most))


LOHA = Method(
    layout=LOHA_LAYOUT,
    summary="the elementwise product of two low-rank products (LoHa)",
    paper="arXiv 2108.06098",
    layers={Kind.LINEAR: LohaLayer, Kind.CONV: LohaLayer},
    # A sum of such products is none, but one of them at another strength is.
    sum_config=lambda configs: configs[0] if len(configs) == 1 else None,
)
