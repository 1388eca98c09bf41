"""Full fine-tuning's configuration and numbers (DreamBooth, arXiv 2208.12242)."""

from dataclasses import dataclass

from portraitist.adapters.layouts.layout import Layout, MethodConfig, Shapes
from portraitist.adapters.spec import Kind, LayerSpec


@dataclass(frozen=True)
class FullConfig(MethodConfig):
    """Configuration of full fine-tuning.

    Attributes:
        bias: Train biases too.
    """

    bias: bool = True


def weight_shapes(spec: LayerSpec, config: FullConfig) -> Shapes:
    """Return ``weight`` in the layer's shape and, where it has one, ``bias``."""
    shapes = {"weight": spec.shape}
    if config.bias and spec.bias is not None:
        shapes["bias"] = spec.bias
    return shapes


FULL = Layout("full", FullConfig, dict.fromkeys(Kind, weight_shapes))
