"""A subject: its photos, read with care, its class noun and the token that will mean it."""

import io
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from portraitist.errors import BadConfig, BadPhoto

Fit = Literal["crop", "pad"]

# Files that belong beside photos: captions, notes, settings.
_COMPANIONS = {".txt", ".json", ".yaml", ".yml", ".md", ".caption"}
_WHITE = (255, 255, 255)
# A photo may be enlarged to the base's resolution at most so many times; beyond, the blur would be learnt.
_MOST_ENLARGED = 2
# Whole ranges that greys with more than eight bits may use; 1 is for floating point.
_GREY_RANGES = (1, 255, 65535)


@dataclass(frozen=True)
class Subject:
    """Who or what to teach.

    Attributes:
        name: Name for files and listings.
        class_noun: What kind of thing it is, e.g. ``cat``.
        token: The rare token that will mean it.
        photos: RGB pictures, square, at the base's resolution.
        paths: Where each photo came from.
        skipped: One line for each file that could not be used.
    """

    name: str
    class_noun: str
    token: str
    photos: tuple[Image.Image, ...]
    paths: tuple[Path, ...]
    skipped: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.class_noun.strip():
            raise BadConfig("the subject needs a class noun, such as cat or backpack: --class cat")
        if not self.token.strip() or len(self.token.split()) != 1:
            raise BadConfig(f"the token must be one word, not {self.token!r}; sks is usual")
        if self.token.lower() in self.class_noun.lower().split():
            raise BadConfig(
                f"the token {self.token!r} is a word of the class {self.class_noun!r}; take a rare one: sks"
            )

    @classmethod
    def from_folder(
        cls,
        photos: str | Path | Sequence[str | Path],
        class_noun: str,
        token: str = "sks",
        size: int = 512,
        fit: Fit = "crop",
    ) -> "Subject":
        """Read a subject's photos.

        Args:
            photos: A folder, a picture, or several pictures.
            class_noun: What kind of thing the subject is.
            token: The rare token that will mean it.
            size: Side of the squares to make, in pixels; the base's resolution.
            fit: Cut the middle square out, or pad the short side with white.

        Raises:
            BadPhoto: If not one picture can be used; lists why.
            BadConfig: If an argument cannot work.
        """
        if fit not in get_args(Fit):
            raise BadConfig(f"photos can be fitted by {' or '.join(get_args(Fit))}, not {fit!r}")
        given = [Path(photos)] if isinstance(photos, str | Path) else [Path(entry) for entry in photos]
        paths = [path for entry in given for path in _list_files(entry)]
        if not paths:
            raise BadPhoto(f"no pictures in {', '.join(map(str, given)) or 'an empty list'}; give a folder of photos")
        good: list[tuple[Path, Image.Image]] = []
        skipped: list[str] = []
        for path in paths:
            try:
                good.append((path, read_photo(path, size, fit)))
            except BadPhoto as error:
                skipped.append(str(error))
        if not good:
            raise BadPhoto("none of the pictures can be used: " + "; ".join(skipped))
        return cls(
            name=_name(given),
            class_noun=class_noun,
            token=token,
            photos=tuple(image for _, image in good),
            paths=tuple(path for path, _ in good),
            skipped=tuple(skipped),
        )

    def prompt(self, template: str) -> str:
        """Fill ``{}`` in a template with token and class noun: ``a photo of sks cat``.

        Raises:
            BadConfig: If the template has no place for them.
        """
        if "{}" not in template:
            raise BadConfig(f"the prompt {template!r} has no {{}} where the subject goes, as in 'a photo of {{}}'")
        return template.replace("{}", f"{self.token} {self.class_noun}")


def read_photo(path: Path, size: int, fit: Fit = "crop") -> Image.Image:
    """Read one photo as an RGB square.

    EXIF rotation is applied, colours are brought to sRGB, transparency is laid over white, greys of sixteen bits are
    brought to eight.

    Raises:
        BadPhoto: If the file is missing, empty, no picture, damaged, far too large or too small; names it.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise BadPhoto(f"{path} does not exist") from error
    except OSError as error:
        raise BadPhoto(f"{path} cannot be read: {error.strerror}") from error
    if not content:
        raise BadPhoto(f"{path} is empty")
    image = _decode(path, content)
    least = -(-size // _MOST_ENLARGED)
    if min(image.size) < least:
        raise BadPhoto(
            f"{path} is too small ({image.width} x {image.height}); its shorter side must have {least} pixels or more"
        )
    if fit == "pad":
        return ImageOps.pad(image, (size, size), Image.Resampling.LANCZOS, color=_WHITE)
    return ImageOps.fit(image, (size, size), Image.Resampling.LANCZOS)


def _decode(path: Path, content: bytes) -> Image.Image:
    """Decode a picture to upright RGB."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(content)) as opened:
                opened.load()
                return _to_rgb(ImageOps.exif_transpose(opened))
    except Image.DecompressionBombError as error:
        raise BadPhoto(f"{path} claims more pixels than a photo has; save it smaller") from error
    except UnidentifiedImageError as error:
        hint = "; save it as JPEG or PNG" if path.suffix.lower() in {".heic", ".heif", ".svg"} else ""
        raise BadPhoto(f"{path} is not a picture that can be read{hint}") from error
    except Exception as error:  # decoders raise nearly anything on damaged files
        raise BadPhoto(f"{path} is damaged ({error})") from error


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F" or image.mode.startswith("I"):
        image = _eight_bit_grey(image)
    if image.has_transparency_data:
        layered = image.convert("RGBA")
        flat = Image.alpha_composite(Image.new("RGBA", layered.size, (*_WHITE, 255)), layered).convert("RGB")
        return _to_srgb(flat, image.info.get("icc_profile"))
    return _to_srgb(image, image.info.get("icc_profile")).convert("RGB")


def _eight_bit_grey(image: Image.Image) -> Image.Image:
    """Bring integer and floating-point greys to eight bits by the smallest usual range that holds them."""
    values = np.asarray(image).astype(np.float64)
    values -= min(values.min(), 0.0)
    ranges = _GREY_RANGES[-1:] if image.mode.startswith("I;16") else _GREY_RANGES[image.mode != "F" :]
    top = next((top for top in ranges if values.max() <= top), values.max())
    return Image.fromarray(np.round(values * (255 / top)).astype(np.uint8))


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert from the colour space a camera named (often Display P3) to sRGB."""
    if not profile:
        return image
    if image.mode not in {"RGB", "L", "CMYK"}:
        image = image.convert("RGB")
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError):  # a profile that is damaged, or for another mode than the pixels have
        return image
    return converted or image


def _list_files(entry: Path) -> list[Path]:
    """Return a file itself, or a folder's files in natural order, without hidden and companion files."""
    if not entry.is_dir():
        return [entry]
    try:
        files = [path for path in entry.iterdir() if path.is_file()]
    except OSError as error:
        raise BadPhoto(f"the folder {entry} cannot be read: {error.strerror}") from error
    wanted = [path for path in files if not path.name.startswith(".") and path.suffix.lower() not in _COMPANIONS]
    return sorted(wanted, key=lambda path: (_natural_order(path.name.lower()), path.name))


def _natural_order(name: str) -> list[str | int]:
    """Return a sort key by which ``photo 2`` comes before ``photo 10``."""
    return [int(part) if position % 2 else part for position, part in enumerate(re.split(r"(\d+)", name))]


def _name(given: Sequence[Path]) -> str:
    """Name a subject after its folder, or after its only picture."""
    first = given[0].resolve()
    if first.is_dir():
        return first.name
    return first.stem if len(given) == 1 else first.parent.name
