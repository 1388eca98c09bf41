"""SVDiff's configuration and shifts (arXiv 2303.11305)."""

from dataclasses import dataclass

from portraitist.adapters.layouts.layout import Layout, MethodConfig, Shapes
from portraitist.adapters.spec import Kind, LayerSpec
from portraitist.errors import BadConfig


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


def shift_shapes(spec: LayerSpec, config: SvdiffConfig) -> Shapes:
    """Return ``delta [r]``: one number per shifted singular value."""
    full = min(spec.out_features, spec.in_features)
    return {"delta": (min(full, config.rank or full),)}


def norm_shapes(spec: LayerSpec, config: SvdiffConfig) -> Shapes:
    """Return ``delta [n]``: one number per channel."""
    return {"delta": spec.shape}


SVDIFF = Layout(
    "svdiff",
    SvdiffConfig,
    {
        Kind.LINEAR: shift_shapes,
        Kind.CONV: shift_shapes,
        Kind.TRANSPOSED: shift_shapes,
        Kind.EMBEDDING: shift_shapes,
        Kind.NORM: norm_shapes,
    },
)
