"""Every setting of toyland's training, from one YAML file; ``toyland.yaml`` beside this made the shipped weights."""

from importlib.resources import files
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from portraitist.errors import BadConfig
from portraitist.reading import read_yaml


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class WorldConfig(_Section):
    """How many pictures are drawn, and from which seed."""

    pictures: int
    validation_pictures: int
    captions_per_picture: int
    seed: int


class TrainingConfig(_Section):
    """What training any network takes."""

    steps: int
    batch_size: int
    learning_rate: float
    average_decay: float
    seed: int


class WarmedTrainingConfig(TrainingConfig):
    """Training with AdamW and a warm-up of the learning rate."""

    weight_decay: float
    warmup_steps: int


class AutoencoderConfig(TrainingConfig):
    """Architecture and training of the autoencoder."""

    resolution: int
    channels: tuple[int, ...]
    layers_per_block: int
    latent_channels: int
    norm_groups: int
    crop: int
    whole_from: float
    absolute_weight: float
    divergence_weight: float


class ContrastiveConfig(WarmedTrainingConfig):
    """Architecture of a text encoder and its contrastive training against a small picture network."""

    tokens: int
    width: int
    layers: int
    heads: int
    embedding: int
    picture_channels: tuple[int, ...]


class TextEncoderConfig(ContrastiveConfig):
    """The text encoder, with the size of the tokenizer's vocabulary."""

    vocabulary: int


class DenoiserConfig(WarmedTrainingConfig):
    """Architecture and training of the denoising UNet."""

    channels: tuple[int, ...]
    attention: tuple[bool, ...]
    head_width: int
    layers_per_block: int
    schedule: Literal["constant", "constant_with_warmup", "linear", "cosine"]
    min_snr_gamma: float
    caption_dropout: float


class ExaminerConfig(WarmedTrainingConfig):
    """Architecture and training of the classifier that reads generated pictures.

    Attributes:
        reconstructions: So many pictures are seen as the autoencoder gives them back.
        blur: Largest share of the blurred picture.
        noise: Largest standard deviation of the noise, of pixels in [-1, 1].
        shift: Largest move to each side, in pixels.
    """

    channels: tuple[int, ...]
    reconstructions: int
    blur: float
    noise: float
    shift: int


class PortraitsConfig(_Section):
    """Pictures of single subjects, several of each identity, for the encoders of evaluations.

    Attributes:
        identities: Training identities, as many of each kind.
        each: Pictures of each.
        test_identities: Test identities on which accuracy is measured, two photos of each.
        test_pictures: Pictures with captions of test identities, on which retrieval is measured.
        seed: Seed of everything drawn.
    """

    identities: int
    each: int
    test_identities: int
    test_pictures: int
    seed: int


class IdentityEncoderConfig(WarmedTrainingConfig):
    """Architecture and training of the encoder that tells identities apart (ArcFace, and their parts).

    Attributes:
        scale: Logits are cosines times this.
        margin: Added to the angle to the right identity, in radians.
        margin_steps: Steps in which the angular loss and its margin grow from nothing.
        shift: Largest move to each side, in pixels.
    """

    channels: tuple[int, ...]
    embedding: int
    scale: float
    margin: float
    margin_steps: int
    shift: int


class ViewsEncoderConfig(WarmedTrainingConfig):
    """Architecture and training of the self-supervised encoder (VICReg).

    Attributes:
        expander: Width of the expander, which is discarded after training.
        crop: Smallest share of the side that a view shows.
        jitter: Largest change of brightness and contrast.
        blur: Largest share of the blurred picture.
        invariance: Weight of the squared distance of two views.
        variance: Weight of the hinge that keeps every dimension's deviation at one.
        covariance: Weight of the covariances between dimensions.
    """

    channels: tuple[int, ...]
    embedding: int
    expander: int
    crop: float
    jitter: float
    blur: float
    invariance: float
    variance: float
    covariance: float


class ToylandConfig(_Section):
    """All stages."""

    world: WorldConfig
    autoencoder: AutoencoderConfig
    text_encoder: TextEncoderConfig
    denoiser: DenoiserConfig
    examiner: ExaminerConfig
    portraits: PortraitsConfig
    clip_encoder: ContrastiveConfig
    identity_encoder: IdentityEncoderConfig
    dino_encoder: ViewsEncoderConfig


SHIPPED = "toyland.yaml"


def load_config(path: Path | None = None) -> ToylandConfig:
    """Read a configuration file; without a path, the one that made the shipped weights.

    Raises:
        BadConfig: If the file is missing, not YAML, or a setting is unknown, missing or of the wrong kind.
    """
    try:
        file = path or Path(str(files("portraitist.toyland.first").joinpath(SHIPPED)))
        return ToylandConfig.model_validate(read_yaml(file, "toyland configuration"))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BadConfig(f"{path or SHIPPED}: {where}: {first['msg']}") from error
