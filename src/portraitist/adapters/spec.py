"""What a layer is, as far as adapters are concerned: its name, its kind and the shape of its weight. Needs no torch."""

import math
from dataclasses import dataclass
from enum import Enum

Shape = tuple[int, ...]


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
    shape: Shape
    stride: tuple[int, ...] = (1, 1)
    padding: tuple[int, ...] = (0, 0)
    dilation: tuple[int, ...] = (1, 1)
    groups: int = 1
    bias: Shape | None = None
    output_padding: tuple[int, ...] = (0, 0)

    @property
    def out_features(self) -> int:
        """Rows of the weight as a matrix; the inputs of a transposed convolution."""
        return self.shape[0]

    @property
    def in_features(self) -> int:
        """Columns of the weight as a matrix: input channels of a group times kernel positions."""
        return math.prod(self.shape[1:])
