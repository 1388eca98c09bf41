"""Thumbnails of adapters, as ModelSpec 1.0.1 has them: a small JPEG as a data URI in the file's metadata.

What files of others hold there is not trusted: only the beginning of a picture of few bytes is read, for its size.
"""

import base64
import binascii
import io
import re
import warnings
from typing import Any

from PIL import Image, ImageOps, UnidentifiedImageError

# The metadata's name of it.
KEY = "modelspec.thumbnail"
# What the standard recommends, in pixels; and what a file is burdened with, in bytes.
SIDE, BYTES = 256, 32_768
_QUALITIES = (90, 80, 65, 50)
_URI = re.compile(r"data:image/(?:jpeg|png|webp);base64,")
_FORMATS = ("JPEG", "PNG", "WEBP")
_NO_PICTURE = (binascii.Error, UnidentifiedImageError, OSError, ValueError, SyntaxError)
# Characters of a URI that are looked at; programs are known to write larger pictures than the standard recommends.
_LONGEST = 2**21


def make_thumbnail(picture: Image.Image) -> str:
    """Return a picture as a thumbnail: 256 pixels and 32 KB at most."""
    shown = picture.convert("RGB")
    shown.thumbnail((SIDE, SIDE))
    while True:
        for quality in _QUALITIES:
            buffer = io.BytesIO()
            shown.save(buffer, format="JPEG", quality=quality, optimize=True)
            if buffer.tell() <= BYTES:
                return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
        shown = ImageOps.scale(shown, 0.75)


def thumbnail_size(uri: Any) -> tuple[int, int] | None:
    """Return width and height of a file's thumbnail in pixels, as its first bytes claim; None if it is none."""
    if not isinstance(uri, str) or len(uri) > _LONGEST or not (found := _URI.match(uri)):
        return None
    try:
        content = base64.b64decode(uri[found.end() :], validate=True)
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=_FORMATS) as picture:
                return picture.size
    except (*_NO_PICTURE, Image.DecompressionBombWarning, Image.DecompressionBombError):
        return None


def is_handed_on(uri: Any) -> bool:
    """Say whether a file's thumbnail goes into other files of the adapter: if it is one, and as small as ours."""
    size = thumbnail_size(uri) if isinstance(uri, str) and len(uri) <= 2 * BYTES else None
    return size is not None and max(size) <= SIDE


def thumbnail_words(uri: Any) -> str:
    """Say of a file's thumbnail what a terminal can show."""
    size = thumbnail_size(uri)
    return "unreadable" if size is None else f"{size[0]} x {size[1]}"
