"""What decides a set of identities: kept in its folder, and compared before anything is added to it."""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from portraitist.errors import BadConfig, BadFile
from portraitist.evaluation.encoders import EncoderFacts
from portraitist.files import write_aside
from portraitist.hypernetworks.identities.sources.opening import is_drawn

FILE = "settings.json"


class TargetSettings(BaseModel):
    """How the adapters that a network shall learn to predict are found.

    Attributes:
        recipe: Everything that decides their training, as a `portraitist.training.recipes.Recipe` holds it.
        bank_size: How many are trained at once; it changes nothing but the speed.
        scenes: Whether each photo has its own prompt, which names scene, clothes and the like; else the identity's.
        frozen_a: Whether the factor A of LoRAs stays as it started, the same in all targets.
        learned_a: Steps in which A is learnt before, by several identities together; 0 where it is not.
        given_a: A hash of the A of another set, where that is taken.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    recipe: dict[str, Any]
    bank_size: int = Field(gt=0)
    scenes: bool = False
    frozen_a: bool = False
    learned_a: int = Field(0, ge=0)
    given_a: str = ""

    @property
    def factor_a(self) -> str:
        """Return in a few words what the factor A of LoRAs is."""
        if self.given_a:
            return f"the factor A of another set ({self.given_a})"
        if self.learned_a:
            return f"a factor A learned before in {self.learned_a} steps"
        return "one random factor A" if self.frozen_a else ""


class VariationSettings(BaseModel):
    """How photos of a folder's identities are varied, and what variations must be.

    Attributes:
        count: Variations drawn of each identity.
        strength: How far they may go from the photo, 0 to 1.
        adapter: The IP-Adapter that they are drawn with, and a hash of it; empty where the base draws them from pixels.
        likeness: Least cosine of the first encoder's features to the photo that was varied.
        sharpness: Least sharpness, as `portraitist prepare` measures it.
        faces: Names of the face detector and the face network that find exactly one face, and whose; None looks for
            none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    count: int = Field(gt=0)
    strength: float = Field(0.6, gt=0, le=1)
    adapter: str = ""
    likeness: float = Field(0.5, ge=-1, le=1)
    sharpness: float = Field(0.02, ge=0)
    faces: tuple[str, str] | None = None


class SetSettings(BaseModel):
    """Everything that decides what is in a set.

    Attributes:
        format: Version of the layout.
        source: Where the identities come from: ``toyland:people``, or a folder.
        kinds: Which kinds of them.
        split: Which of the source's splits; ``all`` for every one.
        count: How many identities.
        photos: Photos of each, at most.
        alike: How many of them, the first ones, are drawn as everybody's are; targets then learn these alone.
        token: The rare word that means each of them.
        seed: Seed of everything drawn.
        resolution: Side of the photos in pixels.
        base: Name of the base whose autoencoder and denoiser are used,
        fingerprint: its fingerprint,
        precision: what it is held in,
        autoencoder: and what latents depend on of it.
        encoders: Whose features are kept.
        target: How target adapters are trained; None where there are none.
        variation: How photos are varied; None where they are not.
        shard_size: Identities whose photos are in one file.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["portraitist-identities-1"] = "portraitist-identities-1"
    source: str
    kinds: tuple[str, ...]
    split: str
    count: int = Field(gt=0)
    photos: int = Field(gt=0)
    alike: int = Field(0, ge=0)
    token: str
    seed: int = Field(ge=0)
    resolution: int = Field(gt=0)
    base: str
    fingerprint: str
    precision: str
    autoencoder: str
    encoders: tuple[EncoderFacts, ...] = ()
    target: TargetSettings | None = None
    variation: VariationSettings | None = None
    shard_size: int = Field(64, gt=0)

    @property
    def shards(self) -> int:
        """Return how many shards the identities fill."""
        return -(-self.count // self.shard_size)

    def members(self, shard: int) -> range:
        """Return the numbers of a shard's identities."""
        return range(shard * self.shard_size, min(self.count, (shard + 1) * self.shard_size))

    @property
    def banks(self) -> int:
        """Return how many banks of targets there are."""
        return 0 if self.target is None else -(-self.count // self.target.bank_size)

    def bank_members(self, bank: int) -> range:
        """Return the numbers of the identities whose targets are trained together."""
        size = self.target.bank_size if self.target is not None else 0
        return range(bank * size, min(self.count, (bank + 1) * size))


def check_folder(folder: Path) -> None:
    """Refuse a folder that holds something else than a set.

    Raises:
        BadConfig: If it does.
    """
    if (folder / FILE).exists():
        return
    if folder.exists() and (not folder.is_dir() or any(not path.name.startswith(".") for path in folder.iterdir())):
        raise BadConfig(f"{folder} already exists and is not a set of identities; choose another folder with -o")


def check_settings(folder: Path, settings: SetSettings) -> None:
    """Refuse a folder that holds another set, or something else; a set may become larger where its files are full.

    Raises:
        BadConfig: If the folder was begun with other settings, naming the first, or cannot become larger.
        BadFile: If its settings are damaged.
    """
    check_folder(folder)
    if not (folder / FILE).exists():
        return
    known = read_settings(folder)
    _check_growth(folder, known, settings)
    there, here = (each.model_dump(mode="json", exclude={"count"}) for each in (known, settings))
    if name := next((name for name in here if here[name] != there[name]), None):
        raise BadConfig(
            f"{folder} holds a set made with {name} {_shown(there[name])}, not {_shown(here[name])}; choose another"
            " folder with -o, or use the same settings to continue"
        )


def _check_growth(folder: Path, known: SetSettings, wanted: SetSettings) -> None:
    if wanted.count == known.count:
        return
    if wanted.count < known.count:
        raise BadConfig(f"{folder} holds a set of {known.count} identities; --count can only become larger")
    if not is_drawn(known.source):  # among others, those that are there would have other numbers
        raise BadConfig(
            f"{folder} holds a set of {known.count} of its folders, and there are {wanted.count} now; make another set"
            " with -o, or give --count"
        )
    for what, size in (("files", known.shard_size), ("banks", known.target.bank_size if known.target else 1)):
        if known.count % size:
            raise BadConfig(
                f"{folder} holds a set of {known.count} identities, in {what} of {size} of which the last is not full;"
                " it cannot become larger"
            )


def keep_settings(folder: Path, settings: SetSettings) -> None:
    """Write down what a set is to be; refuse a folder that holds something else.

    Raises:
        BadConfig: As `check_settings` does.
        UnwritableFolder: If it cannot be written.
    """
    check_settings(folder, settings)
    if not (folder / FILE).exists() or read_settings(folder).count != settings.count:
        with write_aside(folder / FILE) as temporary:
            temporary.write_text(settings.model_dump_json(indent=2) + "\n")


def read_settings(folder: Path) -> SetSettings:
    """Read a set's settings.

    Raises:
        BadFile: If the folder holds no set, or its settings are damaged.
    """
    path = folder / FILE
    try:
        return SetSettings.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise BadFile(
            f"{folder} holds no set of identities; make one with `portraitist identities SOURCE -o {folder}`"
        ) from error
    except (OSError, ValidationError) as error:
        raise BadFile(f"{path} is damaged, or from a newer version; make the set again") from error


def _shown(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
