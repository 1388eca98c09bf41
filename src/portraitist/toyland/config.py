"""Every setting of toyland's training, from one YAML file; ``toyland.yaml`` beside this makes the shipped weights."""

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import Field

from portraitist.training.networks.settings import NetworkSettings, SettingsSection, StagesConfig, read_stages_config


class PicturesConfig(SettingsSection):
    """How many pictures are drawn, and from which seed."""

    train: int = Field(gt=0)
    validation: int = Field(gt=0)
    captions: int = Field(gt=0)
    seed: int


class AutoencoderConfig(NetworkSettings):
    """Architecture and training of the autoencoder.

    Attributes:
        channels: Of each level; each but the first halves the resolution.
        layers: Residual blocks a level.
        latent_channels: Of a latent.
        norm_groups: Groups of every group norm.
        crop: Side of the squares that most steps see, in pixels.
        whole: Share of the steps that see whole pictures, of as many pixels: statistics and borders differ.
        squared_weight: Weight of the squared error beside the absolute one.
        pyramid_weight: Weight of the absolute error on a Laplacian pyramid, which sees outlines at every scale.
        pyramid_levels: Its levels.
        divergence_weight: Weight of the Kullback-Leibler term.
        scaled: Share of the steps that decode latents made smaller, to pictures made smaller (EQ-VAE).
        scales: How much smaller, one drawn each time; they must give whole latents of a crop.
    """

    channels: tuple[int, ...]
    layers: int = Field(gt=0)
    latent_channels: int = Field(gt=0)
    norm_groups: int = Field(gt=0)
    crop: int = Field(gt=0)
    whole: float = Field(ge=0, le=1)
    squared_weight: float = Field(ge=0)
    pyramid_weight: float = Field(ge=0)
    pyramid_levels: int = Field(gt=0)
    divergence_weight: float = Field(ge=0)
    scaled: float = Field(ge=0, le=1)
    scales: tuple[float, ...]

    @property
    def factor(self) -> int:
        """Return how many times smaller latents are than pictures."""
        return int(2 ** (len(self.channels) - 1))


class DecoderConfig(NetworkSettings):
    """Refinement of the decoder against a discriminator of patches.

    Attributes:
        adversarial_weight: Weight of the squared distance to what the discriminator would rather see.
        squared_weight: Weight of the squared error to the picture, beside the absolute one.
        discriminator_channels: Of the discriminator's levels.
    """

    adversarial_weight: float = Field(ge=0)
    squared_weight: float = Field(ge=0)
    discriminator_channels: tuple[int, ...]


class TextEncoderConfig(NetworkSettings):
    """Tokenizer, text encoder, and the picture network that it is trained against.

    Attributes:
        vocabulary: Tokens; 512 symbols and two markers are always among them.
        tokens: Tokens of a prompt, markers included.
        width: Of the hidden states.
        layers: Of the transformer.
        heads: Of its attention.
        embedding: Width of the space that captions and pictures share.
        picture_channels: Of the picture network's levels.
        shrink: Pictures are seen so many times smaller.
    """

    vocabulary: int
    tokens: int
    width: int
    layers: int
    heads: int
    embedding: int
    picture_channels: tuple[int, ...]
    shrink: int


class DenoiserConfig(NetworkSettings):
    """Architecture and training of the denoising UNet.

    Attributes:
        channels: Of each level; each but the first halves the resolution.
        attention: Which levels attend to the text, and to themselves.
        head_width: Channels of an attention head.
        layers: Residual blocks a level.
        min_snr_gamma: Signal-to-noise ratio above which a timestep loses weight.
        caption_dropout: Share of captions that are replaced by the empty prompt.
        drawn_timesteps: Share of timesteps whose noise is drawn from a log-normal distribution; the rest is uniform.
        log_sigma: Mean and deviation of that distribution's logarithm, of noise over signal (arXiv 2206.00364).
    """

    channels: tuple[int, ...]
    attention: tuple[bool, ...]
    head_width: int
    layers: int
    min_snr_gamma: float
    caption_dropout: float
    drawn_timesteps: float = Field(ge=0, le=1)
    log_sigma: tuple[float, float]


class ToylandConfig(StagesConfig):
    """All stages."""

    pictures: PicturesConfig
    autoencoder: AutoencoderConfig
    decoder: DecoderConfig
    text_encoder: TextEncoderConfig
    denoiser: DenoiserConfig


SHIPPED = Path(str(files("portraitist.toyland").joinpath("toyland.yaml")))


def load_config(path: Path | None = None, changes: Mapping[str, Any] | None = None) -> ToylandConfig:
    """Read a configuration file; without a path, the one that makes the shipped weights.

    Args:
        path: The file.
        changes: Settings that differ from it, by section.

    Raises:
        BadConfig: If the file is missing, not YAML, or a setting is unknown, missing or of the wrong kind.
    """
    return read_stages_config(ToylandConfig, path or SHIPPED, "toyland configuration", changes)
