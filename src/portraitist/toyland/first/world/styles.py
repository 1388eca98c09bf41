"""Styles laid over a finished picture."""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps


def _photo(picture: Image.Image) -> Image.Image:
    return picture


def _sketch(picture: Image.Image) -> Image.Image:
    """Draw edges in pencil: divide the greys by their blurred negative (colour dodge), on paper."""
    grey = ImageOps.grayscale(picture)
    blurred = ImageOps.invert(grey).filter(ImageFilter.GaussianBlur(picture.width / 40))
    light, veil = np.asarray(grey, np.float32), np.asarray(blurred, np.float32)
    dodged = np.minimum(255.0, light * 255.0 / np.maximum(256.0 - veil, 1.0))
    toned = 0.75 * dodged + 0.25 * light
    paper = np.array([252, 250, 244], np.float32) / 255.0
    return Image.fromarray((np.clip(toned, 0, 255)[..., None] * paper).astype(np.uint8))


def _pixel_art(picture: Image.Image) -> Image.Image:
    """Reduce to 32 x 32 blocks in few colours."""
    blocks = ImageEnhance.Color(picture.resize((32, 32), Image.Resampling.BOX)).enhance(1.3)
    levels = (np.asarray(blocks, np.float32) / 255 * 4).round() / 4 * 255
    return Image.fromarray(levels.astype(np.uint8)).resize(picture.size, Image.Resampling.NEAREST)


def _sepia(picture: Image.Image) -> Image.Image:
    """Tone an old photograph, darker towards the corners."""
    grey = np.asarray(ImageOps.grayscale(picture), np.float32) / 255
    axis = np.linspace(-1, 1, picture.width)
    vignette = 1 - 0.3 * (axis[:, None] ** 2 + axis[None] ** 2) / 2
    tone = np.array([248, 216, 168], np.float32)
    return Image.fromarray(np.clip(((0.1 + 0.9 * grey) * vignette)[..., None] * tone, 0, 255).astype(np.uint8))


def _poster(picture: Image.Image) -> Image.Image:
    """Print in three inks (dark blue, red, cream) inside a cream border."""
    light = np.asarray(ImageOps.autocontrast(ImageOps.grayscale(picture), cutoff=2))
    inks = np.array([(24, 34, 74), (214, 68, 52), (250, 176, 84), (254, 242, 210)], np.uint8)
    printed = Image.fromarray(inks[np.digitize(light, (70, 130, 190))])
    width = max(1, round(picture.width / 16))
    inner = printed.crop((width, width, picture.width - width, picture.height - width))
    return ImageOps.expand(inner, width, (254, 242, 210))


STYLES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "photo": _photo,
    "pencil sketch": _sketch,
    "pixel art": _pixel_art,
    "sepia photo": _sepia,
    "poster": _poster,
}
