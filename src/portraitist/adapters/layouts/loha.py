"""LoHa's configuration and factors (FedPara, arXiv 2108.06098; LyCORIS, arXiv 2309.14859)."""

from dataclasses import dataclass

from portraitist.adapters.layouts.layout import Layout, MethodConfig, Shapes
from portraitist.adapters.layouts.lora import check_strength
from portraitist.adapters.spec import Kind, LayerSpec
from portraitist.errors import BadConfig


@dataclass(frozen=True)
class LohaConfig(MethodConfig):
    """Configuration of LoHa.

    Attributes:
        rank: Rank r of both products; the change has rank r * r at most.
        alpha: The change is scaled by alpha / rank; None means alpha = rank, that is no scaling.
    """

    rank: int = 4
    alpha: float | None = None

    def __post_init__(self) -> None:
        check_strength("loha", self.rank, self.alpha)

    @property
    def scaling(self) -> float:
        """Return alpha / rank."""
        return 1.0 if self.alpha is None else self.alpha / self.rank


def product_shapes(spec: LayerSpec, config: LohaConfig) -> Shapes:
    """Return ``w1_a``, ``w2_a [out, r]`` and ``w1_b``, ``w2_b [r, in]``, a convolution's with its kernel in ``in``.

    Raises:
        BadConfig: If a convolution has groups.
    """
    if spec.groups != 1:
        raise BadConfig(f"{spec.name}: loha does not adapt a convolution with {spec.groups} groups")
    left, right = (spec.out_features, config.rank), (config.rank, spec.in_features)
    return {"w1_a": left, "w1_b": right, "w2_a": left, "w2_b": right}


LOHA = Layout("loha", LohaConfig, {Kind.LINEAR: product_shapes, Kind.CONV: product_shapes})
