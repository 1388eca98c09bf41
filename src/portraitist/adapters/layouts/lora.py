"""LoRA's configuration and factors (arXiv 2106.09685)."""

from dataclasses import dataclass

from portraitist.adapters.layouts.layout import Layout, MethodConfig, Shapes
from portraitist.adapters.spec import Kind, LayerSpec
from portraitist.errors import BadConfig

# No LoRA is as strong; changes of the weights would be infinite.
STRENGTH_LIMIT = 1_000_000


@dataclass(frozen=True)
class LoraConfig(MethodConfig):
    """Configuration of LoRA.

    Attributes:
        rank: Rank of the change.
        alpha: The change is scaled by alpha / rank; None means alpha = rank, that is no scaling.
    """

    rank: int = 4
    alpha: float | None = None

    def __post_init__(self) -> None:
        check_strength("lora", self.rank, self.alpha)

    @property
    def scaling(self) -> float:
        """Return alpha / rank."""
        return 1.0 if self.alpha is None else self.alpha / self.rank


def check_strength(method: str, rank: int, alpha: float | None) -> None:
    """Refuse a rank and an alpha that no adapter has.

    Raises:
        BadConfig: If one is out of its range; the method's name stands in the message.
    """
    if rank < 1:
        raise BadConfig(f"{method}: rank must be at least 1, not {rank}")
    if alpha is not None and not 0 < alpha < STRENGTH_LIMIT * rank:
        most = STRENGTH_LIMIT * rank
        raise BadConfig(f"{method}: alpha must be a positive number below {most:,}, not {alpha}")


def linear_shapes(spec: LayerSpec, config: LoraConfig) -> Shapes:
    """Return ``down [rank, in]`` and ``up [out, rank]``."""
    return {"down": (config.rank, spec.in_features), "up": (spec.out_features, config.rank)}


def conv_shapes(spec: LayerSpec, config: LoraConfig) -> Shapes:
    """Return ``down [rank, in, kh, kw]`` and ``up [out, rank, 1, 1]``.

    Raises:
        BadConfig: If the convolution has groups.
    """
    if spec.groups != 1:
        raise BadConfig(f"{spec.name}: lora does not adapt a convolution with {spec.groups} groups")
    return {"down": (config.rank, *spec.shape[1:]), "up": (spec.out_features, config.rank, 1, 1)}


LORA = Layout("lora", LoraConfig, {Kind.LINEAR: linear_shapes, Kind.CONV: conv_shapes})
