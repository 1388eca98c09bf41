"""Full fine-tuning: every number of a weight (and bias) may change, as in DreamBooth (arXiv 2208.12242).

The parameters are the *differences* from the base, so that a full fine-tune is attached, scaled and detached like any
other adapter. The layer is computed once with the changed weight instead of twice.
"""

import torch
from torch import Tensor

from portraitist.adapters.layer import AdapterLayer, Parameters, Way, require_plain
from portraitist.adapters.layouts.full import FULL as FULL_LAYOUT
from portraitist.adapters.layouts.full import FullConfig, weight_shapes
from portraitist.adapters.method import Method
from portraitist.adapters.spec import Kind, LayerSpec


class FullLayer(AdapterLayer):
    """All numbers of one layer: ``weight`` in the layer's shape and, where it has one, ``bias``."""

    def __init__(self, spec: LayerSpec, config: FullConfig) -> None:
        super().__init__(spec)
        self.config = config

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the weight's shape and the bias's."""
        return weight_shapes(self.spec, self.config)

    def initial(self, generator: torch.Generator) -> dict[str, Tensor]:
        """Return zeros."""
        return {name: torch.zeros(shape) for name, shape in self.shapes().items()}

    def bind(self, weight: Tensor, bias: Tensor | None) -> None:
        """Ask for a weight that shows its numbers, since it is computed with."""
        require_plain(weight, f"full on {self.spec.name}")

    def delta_weight(self, params: Parameters) -> Tensor:
        """Return the stored difference."""
        return params["weight"]

    def way(self, x: Tensor, params: Parameters, alone: bool) -> Way:
        """Change the weight: one pass with ``W + dW`` costs half of two."""
        return Way.WEIGHT


FULL = Method(
    layout=FULL_LAYOUT,
    summary="every number of the adapted weights",
    paper="arXiv 2208.12242",
    layers=dict.fromkeys(Kind, FullLayer),
    sum_config=lambda configs: configs[0] if len(set(configs)) == 1 else None,
    full_rank=True,
)
