"""A subject: its photos, read with care, its class noun and the token that will mean it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from PIL import Image, ImageOps

from portraitist.bases.families import Framing
from portraitist.errors import BadConfig, BadPhoto
from portraitist.photos import decode_photo, list_photos
from portraitist.training.words import check_words

Fit = Literal["crop", "pad"]

_WHITE = (255, 255, 255)
# A photo may be enlarged to the base's resolution at most so many times; beyond, the blur would be learnt.
_MOST_ENLARGED = 2


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
        framings: How each photo was cut; nothing when that is not known.
    """

    name: str
    class_noun: str
    token: str
    photos: tuple[Image.Image, ...]
    paths: tuple[Path, ...]
    skipped: tuple[str, ...] = ()
    fit: Fit = "crop"
    framings: tuple[Framing, ...] = ()

    def __post_init__(self) -> None:
        check_words(self.class_noun, self.token)

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
            raise BadConfig(f"photos can be made square by {' or '.join(get_args(Fit))}, not {fit!r}")
        entries = [Path(photos)] if isinstance(photos, str | Path) else [Path(entry) for entry in photos]
        paths = [path for entry in entries for path in list_photos(entry)]
        if not paths:
            raise BadPhoto(f"no pictures in {', '.join(map(str, entries)) or 'an empty list'}; give a folder of photos")
        good: list[tuple[Path, Image.Image, Framing]] = []
        skipped: list[str] = []
        for path in paths:
            try:
                photo = _decode(path, size)
                good.append((path, _fit(photo, size, fit), frame(photo.size, size, fit)))
            except BadPhoto as error:
                skipped.append(str(error))
        if not good:
            raise BadPhoto("none of the pictures can be used: " + "; ".join(skipped))
        return cls(
            name=_name(entries),
            class_noun=class_noun,
            token=token,
            photos=tuple(image for _, image, _ in good),
            paths=tuple(path for path, _, _ in good),
            skipped=tuple(skipped),
            fit=fit,
            framings=tuple(framing for _, _, framing in good),
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
    """Read one photo as an RGB square; see `portraitist.photos.decode_photo` for what happens to its pixels.

    Raises:
        BadPhoto: If the file is missing, empty, no picture, damaged, far too large or too small; names it.
    """
    return _fit(_decode(path, size), size, fit)


def frame(original: tuple[int, int], size: int, fit: Fit = "crop") -> Framing:
    """Return how a photo of a width and height becomes a square: scaled, then cut in the middle or padded."""
    width, height = original
    scale = size / min(width, height)
    corner = (round(height * scale) - size) // 2, (round(width * scale) - size) // 2
    return Framing((height, width), (0, 0) if fit == "pad" else corner, (size, size))


def _decode(path: Path, size: int) -> Image.Image:
    image = decode_photo(path)
    least = -(-size // _MOST_ENLARGED)
    if min(image.size) < least:
        raise BadPhoto(
            f"{path} is too small ({image.width} x {image.height}); its shorter side must be at least {least} pixels"
        )
    return image


def _fit(image: Image.Image, size: int, fit: Fit) -> Image.Image:
    if fit == "pad":
        return ImageOps.pad(image, (size, size), Image.Resampling.LANCZOS, color=_WHITE)
    return ImageOps.fit(image, (size, size), Image.Resampling.LANCZOS)


def _name(entries: Sequence[Path]) -> str:
    """Name a subject after its folder, or after its only picture."""
    first = entries[0].resolve()
    if first.is_dir():
        return first.name
    return first.stem if len(entries) == 1 else first.parent.name
