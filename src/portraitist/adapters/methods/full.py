"""Full fine-tuning: every number of a weight (and bias) may change, as in DreamBooth (arXiv 2208.12242).

The parameters are the *differences* from the base, so that a full fine-tune is attached, scaled and detached like any
other adapter. The layer is computed once with the changed weight instead of twice.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from portraitist.adapters.layer import AdapterLayer, Kind, LayerSpec, Parameters, Way, require_plain
from portraitist.adapters.method import Method, MethodConfig


@dataclass(frozen=True)
class FullConfig(MethodConfig):
    """Configuration of full fine-tuning.

    Attributes:
        bias: Train biases too.
    """

    bias: bool = True


class FullLayer(AdapterLayer):
    """All numbers of one layer: ``weight`` in the layer's shape and, where it has one, ``bias``."""

    def __init__(self, spec: LayerSpec, config: FullConfig) -> None:
        super().__init__(spec)
        self.config = config

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the weight's shape and the bias's."""
        shapes = {"weight": self.spec.shape}
        if self.config.bias and self.spec.bias is not None:
            shapes["bias"] = self.spec.bias
        return shapes

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
    name="full",
    summary="every number of the adapted weights",
    paper="arXiv 2208.12242",
    config=FullConfig,
    layers=dict.fromkeys(Kind, FullLayer),
    sum_config=lambda configs: configs[0] if len(set(configs)) == 1 else None,
    full_rank=True,
)
