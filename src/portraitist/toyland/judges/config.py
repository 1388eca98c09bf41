"""Every setting of the judges' training, from one YAML file; ``judges.yaml`` beside this makes the shipped ones."""

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import Field

from portraitist.training.networks.settings import NetworkSettings, SettingsSection, StagesConfig, read_stages_config


class JudgeConfig(NetworkSettings):
    """What training any judge takes.

    Attributes:
        side: Pictures are seen as so many pixels to a side; those of the world are 128 wide.
        channels: Of the picture network's levels, each at half the resolution of the one before.
        batch_size: Pictures a step; of the identity encoder, identities.
        betas: Decay rates of AdamW's moments.
    """

    side: int = Field(gt=0)
    channels: tuple[int, ...]
    batch_size: int = Field(gt=1)
    betas: tuple[float, float] = (0.9, 0.999)


class DisturbedConfig(JudgeConfig):
    """A judge that sees its pictures moved, blurred and noisy, as a generator might leave them.

    Attributes:
        blur: Largest share of the blurred picture.
        noise: Largest standard deviation of the noise, of pixels in [-1, 1].
        shift: Largest move to each side, in pixels.
    """

    blur: float = Field(ge=0, le=1)
    noise: float = Field(ge=0)
    shift: int = Field(ge=0)


class ExaminerConfig(DisturbedConfig):
    """The classifier that reads generated pictures.

    Attributes:
        reconstructions: So many pictures are known as the autoencoder gives them back.
        reconstructed: Their share of a batch.
    """

    reconstructions: int = Field(ge=0)
    reconstructed: float = Field(ge=0, lt=1)


class MatchingConfig(JudgeConfig):
    """The encoder of pictures and texts, trained contrastively.

    Attributes:
        tokens: Tokens of a caption, markers included.
        width: Of the text tower's hidden states.
        layers: Of the text tower.
        heads: Of its attention.
        embedding: Width of the common space.
    """

    tokens: int
    width: int
    layers: int
    heads: int
    embedding: int


class IdentityConfig(DisturbedConfig):
    """The encoder that tells identities apart.

    Attributes:
        embedding: Width of the embedding.
        scale: Logits are cosines times this.
        margin: Added to the angle to the other portrait of the same identity, in radians.
        margin_steps: Steps in which the angular loss and its margin grow from nothing.
        people: Share of people among the identities of a batch.
    """

    embedding: int
    scale: float = Field(gt=0)
    margin: float = Field(ge=0)
    margin_steps: int = Field(ge=0)
    people: float = Field(ge=0, le=1)


class ViewsConfig(JudgeConfig):
    """The self-supervised encoder: two views of one picture, and no word about who is on it.

    Attributes:
        embedding: Width of the embedding.
        projection: Width of the space in which views are compared; what leads there is discarded.
        temperature: Cosines are divided by it.
        crop: Smallest share of the side that a view shows.
        turn: Largest turn, in radians.
        jitter: Largest change of brightness and contrast.
        tint: Largest change of a single colour channel.
        transplanted: Share of views whose middle is laid over another picture.
        covered: Chance of each of two patches that hide a part.
    """

    embedding: int
    projection: int
    temperature: float = Field(gt=0)
    crop: float = Field(gt=0, le=1)
    turn: float = Field(ge=0)
    jitter: float = Field(ge=0)
    tint: float = Field(ge=0)
    transplanted: float = Field(ge=0, le=1)
    covered: float = Field(ge=0, le=1)


class TestsConfig(SettingsSection):
    """What the encoders are tested on.

    Attributes:
        identities: Test identities, two photos of each: of all kinds, and as many people again.
        pictures: Test pictures with captions.
        among: Captions that a picture must find its own among.
        seed: Seed of everything drawn.
    """

    identities: int
    pictures: int
    among: int
    seed: int


class JudgesConfig(StagesConfig):
    """All judges.

    Attributes:
        examiner: Who reads pictures.
        clip: Who tells which caption belongs to a picture.
        identity: Who tells identities apart.
        dino: Who tells what looks alike, without labels.
        second_identity: Another encoder of identities, of another seed and thus of other identities and pictures: what
            hypernetworks may see with while the first one judges.
        tests: What they are tested on.
    """

    examiner: ExaminerConfig
    clip: MatchingConfig
    identity: IdentityConfig
    dino: ViewsConfig
    second_identity: IdentityConfig
    tests: TestsConfig


SHIPPED = Path(str(files("portraitist.toyland.judges").joinpath("judges.yaml")))


def load_judges_config(path: Path | None = None, changes: Mapping[str, Any] | None = None) -> JudgesConfig:
    """Read a configuration file; without a path, the one that makes the shipped judges.

    Args:
        path: The file.
        changes: Settings that differ from it, by judge.

    Raises:
        BadConfig: If the file is missing, not YAML, or a setting is unknown, missing or of the wrong kind.
    """
    return read_stages_config(JudgesConfig, path or SHIPPED, "configuration of the judges", changes)
