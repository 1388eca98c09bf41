"""Settings of a hypernetwork: what it sees, what it is, what it predicts, how it is trained and used."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

from pydantic import Field, model_validator

from portraitist.errors import BadConfig
from portraitist.reading import parse_yaml, read_text
from portraitist.training.networks.settings import NetworkSettings, SettingsSection

Spaces = Literal["lidb", "subspace"]


class SightSettings(SettingsSection):
    """What a network sees of a photo; all of it is frozen and computed once.

    Attributes:
        encoders: Whose embeddings it sees.
        places: Also what these encoders say of each place in the photo, those that do.
        latents: Also the base's latents, pooled into so many patches along a side; 0 leaves them out.
    """

    encoders: tuple[str, ...]
    places: bool = True
    latents: int = Field(0, ge=0)


class DecoderSettings(SettingsSection):
    """The network itself.

    Attributes:
        width: Width of its tokens.
        blocks: Layers of the transformer decoder.
        heads: Attention heads.
        iterations: How often the estimate is refined.
        head_deviation: Deviation of the heads' weights at the start.
    """

    width: int = Field(gt=0)
    blocks: int = Field(2, gt=0)
    heads: int = Field(gt=0)
    iterations: int = Field(gt=0)
    head_deviation: float = Field(1e-3, gt=0)


class OutputSettings(SettingsSection):
    """What is predicted.

    Attributes:
        space: ``lidb``, the two small factors in frozen bases; or ``subspace``, coefficients of learned changes.
        config: Settings of that space: a, b and basis_seed, or changes.
        layers: A layer set of the base's family, or several, or patterns.
        token: Also predict the embedding of the rare word.
    """

    space: Spaces
    config: dict[str, Any] = Field(default_factory=dict)
    layers: str | tuple[str, ...]
    token: bool = False


class LossSettings(SettingsSection):
    """What is minimised, and on what.

    Attributes:
        diffusion: Weight of the denoising error, the paper's alpha.
        weights: Weight of the distance to target adapters, its beta.
        captions: Weight of the distance to what the base alone predicts when told the caption of the photo to make.
        numbers: Weight of the mean square of what is predicted.
        unknown: Share of samples whose photos are taken away.
        photos: How many photos of somebody are seen at most; each step draws how many.
        other_photo: The photo to make is not among those seen.
        scenes: Each photo has its own prompt, which names scene, clothes and the like.
        prompt: Otherwise, what all photos are called.
        min_snr_gamma: Signal-to-noise ratio above which errors count less; None counts all the same.
        noise: From which to which share of the noise schedule errors are taken.
    """

    diffusion: float = Field(1.0, ge=0)
    weights: float = Field(0.0, ge=0)
    captions: float = Field(0.0, ge=0)
    numbers: float = Field(0.0, ge=0)
    unknown: float = Field(0.0, ge=0, lt=1)
    photos: int = Field(1, ge=1)
    other_photo: bool = True
    scenes: bool = True
    prompt: str = "a photo of a {}"
    min_snr_gamma: float | None = Field(None, gt=0)
    noise: tuple[float, float] = (0.0, 1.0)


class TrainingSettings(NetworkSettings):
    """How the network is trained.

    Attributes:
        changes_learning_rate: Rate of a subspace's learned changes; the network's when None.
    """

    changes_learning_rate: float | None = Field(None, gt=0)


class RefinementSettings(SettingsSection):
    """How a prediction is trained on, rank-relaxed.

    Attributes:
        rank: Rank of what is trained beside it, the paper's r'.
        batch_size: Views a step.
        learning_rate: Constant.
        least_rank: Rank that the noisiest samples teach, those with less noise up to all of it; None: all teach all.
    """

    rank: int = Field(4, gt=1)
    batch_size: int = Field(4, gt=0)
    learning_rate: float = Field(gt=0)
    least_rank: int | None = Field(None, ge=0)

    @model_validator(mode="after")
    def _least_is_less(self) -> "RefinementSettings":
        if self.least_rank is not None and self.least_rank >= self.rank:
            raise ValueError(f"least_rank={self.least_rank} must be less than rank={self.rank}")
        return self


class CommonRecipe(SettingsSection, ABC):
    """What the settings of every kind of hypernetwork have; they are kept with it.

    Attributes:
        paper: Where it comes from.
        sight: What it sees of photos.
        refinement: How its predictions are trained on.
    """

    paper: ClassVar[str]

    sight: SightSettings
    refinement: RefinementSettings

    @abstractmethod
    def output_words(self, layers: int) -> str:
        """Say in a few words what is predicted on so many linear layers."""

    def details(self, sides: Sequence[tuple[int, int]], latent: int | None) -> dict[str, str]:
        """Say in a few words by what heads what else must be known of such a network; most have nothing else.

        Args:
            sides: Inputs and outputs of the linear layers that are changed.
            latent: Numbers of a squeezed adapter, where adapters are squeezed.
        """
        return {}

    @abstractmethod
    def structure(self) -> dict[str, Any]:
        """Return the settings in which a network that is trained on must not differ."""


AnyRecipe = TypeVar("AnyRecipe", bound=CommonRecipe)


class HypernetworkRecipe(CommonRecipe):
    """All settings of a network of HyperDreamBooth."""

    paper: ClassVar[str] = "HyperDreamBooth, arXiv 2307.06949"

    decoder: DecoderSettings
    output: OutputSettings
    losses: LossSettings
    training: TrainingSettings

    def output_words(self, layers: int) -> str:
        """Say in a few words what is predicted on so many linear layers."""
        values = ", ".join(f"{name} {value}" for name, value in self.output.config.items())
        what = f"{self.output.space} ({values}) on {layers} layers"
        return f"{what}, and the token's embedding" if self.output.token else what

    def structure(self) -> dict[str, Any]:
        """Return the settings in which a network that is trained on must not differ."""
        return self.model_dump(mode="json", include={"sight", "output"})


def read_sections(text: str, name: str) -> dict[str, Any]:
    """Read a recipe's file.

    Raises:
        BadConfig: If it is no YAML, or no sections.
    """
    try:
        sections = parse_yaml(text)
    except ValueError as error:
        raise BadConfig(f"the recipe {name} is not YAML: {error}") from error
    if not isinstance(sections, dict) or not all(isinstance(each, dict) for each in sections.values()):
        raise BadConfig(f"the recipe {name} is not made of sections such as `training:`")
    return sections


def read_recipe_file(path: Path) -> dict[str, Any]:
    """Read a recipe's file of the user's.

    Raises:
        BadConfig: If it cannot be read.
    """
    return read_sections(read_text(path, "a recipe", BadConfig), str(path))
