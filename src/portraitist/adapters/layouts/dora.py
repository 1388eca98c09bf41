"""DoRA's configuration and numbers (arXiv 2402.09353)."""

from dataclasses import dataclass

from portraitist.adapters.layouts.layout import Layout, MethodConfig, Shapes
from portraitist.adapters.layouts.lora import LoraConfig, conv_shapes, linear_shapes
from portraitist.adapters.spec import Kind, LayerSpec
from portraitist.errors import BadConfig

# Whose lengths the magnitudes are: the rows of a weight (a number for each output) or its columns.
AXES = ("output", "input")


@dataclass(frozen=True)
class DoraConfig(MethodConfig):
    """Configuration of DoRA.

    Attributes:
        rank: Rank of the change of direction.
        alpha: That change is scaled by alpha / rank; None means alpha = rank, that is no scaling.
        axis: ``output``: a magnitude for each output, as PEFT has it and LyCORIS by default; ``input``: for each input
            (channel), as LyCORIS' older files.
    """

    rank: int = 4
    alpha: float | None = None
    axis: str = "output"

    def __post_init__(self) -> None:
        if self.axis not in AXES:
            raise BadConfig(f"dora: unknown axis {self.axis!r}; choose one of {', '.join(AXES)}")
        _ = self.direction  # refuses what LoRA refuses

    @property
    def direction(self) -> LoraConfig:
        """Return the configuration of the LoRA that changes the direction."""
        return LoraConfig(self.rank, self.alpha)


def _linear_shapes(spec: LayerSpec, config: DoraConfig) -> Shapes:
    return {**linear_shapes(spec, config.direction), "magnitude": _magnitude_shape(spec, config)}


def _conv_shapes(spec: LayerSpec, config: DoraConfig) -> Shapes:
    return {**conv_shapes(spec, config.direction), "magnitude": _magnitude_shape(spec, config)}


def _magnitude_shape(spec: LayerSpec, config: DoraConfig) -> tuple[int, ...]:
    return (spec.shape[AXES.index(config.axis)],)


DORA = Layout("dora", DoraConfig, {Kind.LINEAR: _linear_shapes, Kind.CONV: _conv_shapes})
