"""A subject: its photos, read with care, its class noun and the token that will mean it."""

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PIL import Image, ImageOps

from portraitist.errors import BadConfig, BadPhoto

Fit = Literal["crop", "pad"]

# Files that belong beside photos: captions, notes, settings.
_COMPANIONS = {".txt", ".json", ".yaml", ".yml", ".md", ".caption"}
_WHITE = (255, 255, 255)


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
        """
        given = [photos] if isinstance(photos, str | Path) else list(photos)
        paths = [path for entry in given for path in _list_files(Path(entry))]
        if not paths:
            raise BadPhoto(f"no pictures in {', '.join(map(str, given))}; give a folder of photos")
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
            name=Path(given[0]).stem,
            class_noun=class_noun,
            token=token,
            photos=tuple(image for _, image in good),
            paths=tuple(path for path, _ in good),
            skipped=tuple(skipped),
        )

    def prompt(self, template: str) -> str:
        """Fill ``{}`` in a template with token and class noun: ``a photo of sks cat``."""
        return template.format(f"{self.token} {self.class_noun}")


def read_photo(path: Path, size: int, fit: Fit = "crop") -> Image.Image:
    """Read one photo as an RGB square.

    EXIF rotation is applied, transparency laid over white, sixteen-bit greys brought to eight.

    Raises:
        BadPhoto: If the file is missing, empty, no picture, damaged, far too large or too small; names it.
    """
    if not path.is_file():
        raise BadPhoto(f"{path} does not exist")
    if path.stat().st_size == 0:
        raise BadPhoto(f"{path} is empty")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as opened:
                opened.load()
                image = _to_rgb(ImageOps.exif_transpose(opened))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BadPhoto(f"{path} claims more pixels than any photo has; make it smaller") from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        reason = "is no picture" if isinstance(error, Image.UnidentifiedImageError) else f"is damaged ({error})"
        raise BadPhoto(f"{path} {reason}") from error
    if min(image.size) < size / 2:
        raise BadPhoto(
            f"{path} is too small ({image.width} x {image.height}); the shorter side must have {size // 2} pixels or more"
        )
    method = Image.Resampling.LANCZOS
    if fit == "pad":
        return ImageOps.pad(image, (size, size), method, color=_WHITE)
    return ImageOps.fit(image, (size, size), method)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        low, high = image.getextrema()
        # Sixteen-bit files use their whole range; 32-bit and float ones are scaled to what they hold.
        top = 65535 if image.mode.startswith("I;16") else max(high, 1)
        bottom = 0 if image.mode.startswith("I;16") else min(low, 0)
        image = image.convert("F").point(lambda value: value * (255.0 / (top - bottom)) - bottom).convert("L")
    if image.has_transparency_data:
        layered = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layered.size, (*_WHITE, 255)), layered).convert("RGB")
    return image.convert("RGB")


def _list_files(entry: Path) -> list[Path]:
    """Return a file itself, or a folder's files in natural order, without hidden and companion files."""
    if not entry.exists():
        raise BadPhoto(f"{entry} does not exist; give a folder of photos")
    if entry.is_file():
        return [entry]
    files = [
        path
        for path in entry.iterdir()
        if path.is_file() and not path.name.startswith(".") and path.suffix.lower() not in _COMPANIONS
    ]
    return sorted(files, key=lambda path: [int(p) if p.isdigit() else p for p in re.split(r"(\d+)", path.name.lower())])
