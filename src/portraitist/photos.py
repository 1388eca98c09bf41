"""Photos as people have them: any picture PIL reads becomes upright RGB; a folder's files in natural order.

And back: pictures as bytes, without loss or small enough to stand beside a page.
"""

import io
import re
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pillow_heif
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from portraitist.errors import BadPhoto
from portraitist.reading import read_bytes

# Files that belong beside photos: captions, notes, settings.
_COMPANIONS = {".txt", ".json", ".jsonl", ".yaml", ".yml", ".md", ".caption"}
CAPTION_SUFFIXES = (".txt", ".caption")
MASK_SUFFIX = ".mask.png"
# Pictures beside pages are kept with them in a repository: their files are WebP, of so many bytes at most.
PAGE_SUFFIX, PAGE_BYTES = ".webp", 300_000
_PAGE_QUALITIES = (85, 75, 60, 45)
_WEBP_SIDE = 16383  # pixels of a WebP's side, at most
_HEIF_MARK = b"ftyp"  # of HEIC and its like, as telephones write them, behind four bytes
_WHITE = (255, 255, 255)
# Photos have less, in bytes.
_PHOTO_LIMIT = 2**30
# What is opened. Others are left to nobody: one of them would start Ghostscript, which runs programs.
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "MPO", "AVIF", "JPEG2000", "TGA", "ICO", "HEIF")
# Whole ranges that greys with more than eight bits may use; 1 is for floating point.
_GREY_RANGES = (1, 255, 65535)


def encode_png(image: Image.Image) -> bytes:
    """Return a picture as the bytes of a PNG file."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def encode_for_page(image: Image.Image) -> bytes:
    """Return a picture as the bytes of a WebP file that stands beside a page: `PAGE_BYTES` at most.

    Quality gives way before size does.
    """
    shown = image.convert("RGB")
    shown.thumbnail((_WEBP_SIDE, _WEBP_SIDE))
    while True:
        for quality in _PAGE_QUALITIES:
            buffer = io.BytesIO()
            shown.save(buffer, format="WEBP", quality=quality, method=6)
            if buffer.tell() <= PAGE_BYTES:
                return buffer.getvalue()
        shown = ImageOps.scale(shown, 0.75)


def decode_photo(path: Path) -> Image.Image:
    """Read one photo as upright RGB, in its own size.

    EXIF rotation is applied, colours are brought to sRGB, transparency is laid over white, greys of sixteen bits are
    brought to eight.

    Raises:
        BadPhoto: If the file is missing, empty, no picture, damaged or far too large; names it.
    """
    content = read_bytes(path, "a photo", _PHOTO_LIMIT, BadPhoto)
    if not content:
        raise BadPhoto(f"{path} is empty")
    return _decode(path, content)


def list_photos(entry: Path) -> list[Path]:
    """Return a file itself, or a folder's files in natural order, without hidden and companion files.

    Raises:
        BadPhoto: If the folder cannot be read.
    """
    if not entry.is_dir():
        return [entry]
    try:
        files = [path for path in entry.iterdir() if path.is_file()]
    except OSError as error:
        raise BadPhoto(f"the folder {entry} cannot be read: {error.strerror}") from error
    wanted = [path for path in files if not path.name.startswith(".") and not _is_companion(path)]
    return sorted(wanted, key=lambda path: (_natural_order(path.name.lower()), path.name))


def decode_readable(paths: Iterable[Path]) -> Iterator[tuple[Path, Image.Image]]:
    """Decode pictures one by one with their paths; files that are none are passed over."""
    for path in paths:
        try:
            yield path, decode_photo(path)
        except BadPhoto:
            continue


def _is_companion(path: Path) -> bool:
    """Say whether a file lies beside a photo rather than being one."""
    return path.suffix.lower() in _COMPANIONS or path.name.lower().endswith(MASK_SUFFIX)


def _natural_order(name: str) -> list[str | int]:
    """Return a sort key by which ``photo 2`` comes before ``photo 10``."""
    return [int(part) if position % 2 else part for position, part in enumerate(re.split(r"(\d+)", name))]


def _decode(path: Path, content: bytes) -> Image.Image:
    """Decode a picture to upright RGB."""
    if content[4:8] == _HEIF_MARK:
        pillow_heif.register_heif_opener()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(content), formats=_formats()) as opened:
                opened.load()
                return _to_rgb(ImageOps.exif_transpose(opened))
    except Image.DecompressionBombError as error:
        raise BadPhoto(f"{path} claims more pixels than any photo has; save a smaller copy") from error
    except UnidentifiedImageError as error:
        hint = "; save it as JPEG or PNG" if path.suffix.lower() == ".svg" else ""
        raise BadPhoto(f"{path} is not a picture that can be read{hint}") from error
    except Exception as error:  # decoders raise nearly anything on damaged files
        raise BadPhoto(f"{path} is damaged ({error})") from error


def _formats() -> list[str]:
    """Return the formats that are opened, as far as this build of Pillow has them."""
    Image.init()
    return [name for name in _FORMATS if name in Image.OPEN]


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
    if not np.isfinite(values).all():
        raise ValueError("it holds values that are not finite numbers")
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
