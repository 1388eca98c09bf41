"""Contact sheets: rows of pictures with a caption before each row, or pictures with a caption under each."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

_MARGIN, _LABEL_WIDTH, _TITLE_HEIGHT, _HEAD_LINE = 8, 190, 34, 20
_INK, _PAPER = (28, 28, 32), (255, 255, 255)


@dataclass(frozen=True)
class SheetRow:
    """A caption and its pictures, and words above each of them."""

    caption: str
    images: Sequence[Image.Image]
    heads: Sequence[str] = ()


def contact_sheet(rows: Sequence[SheetRow], *, title: str = "", tile: int = 128) -> Image.Image:
    """Lay out rows of pictures.

    Args:
        rows: Captions with pictures; rows may differ in length.
        title: A line above everything.
        tile: Side of a picture on the sheet, in pixels; small pictures are enlarged without smoothing.
    """
    columns = max(len(row.images) for row in rows)
    small, large = ImageFont.load_default(14), ImageFont.load_default(18)
    heads = [[wrap(head, small, tile) for head in row.heads] for row in rows]
    above = [_HEAD_LINE * max((len(lines) for lines in each), default=0) for each in heads]
    top = _MARGIN + (_TITLE_HEIGHT if title else 0)
    width = _LABEL_WIDTH + columns * (tile + _MARGIN) + _MARGIN
    sheet = Image.new("RGB", (width, top + sum(above) + len(rows) * (tile + _MARGIN)), _PAPER)
    draw = ImageDraw.Draw(sheet)
    if title:
        draw.text((_MARGIN, _MARGIN), title, fill=_INK, font=large)
    y = top
    for row, words, height in zip(rows, heads, above, strict=True):
        for column, lines in enumerate(words):
            x = _LABEL_WIDTH + column * (tile + _MARGIN)
            for number, line in enumerate(reversed(lines), 1):
                draw.text((x, y + height - number * _HEAD_LINE), line, fill=_INK, font=small)
        y += height
        text = "\n".join(textwrap.wrap(row.caption, 24))
        draw.multiline_text((_MARGIN, y + tile / 2), text, fill=_INK, font=small, anchor="lm", spacing=3)
        for column, image in enumerate(row.images):
            sheet.paste(fit_tile(image, tile), (_LABEL_WIDTH + column * (tile + _MARGIN), y))
        y += tile + _MARGIN
    return sheet


def caption_sheet(pictures: Sequence[tuple[Image.Image, str]], *, columns: int = 6, tile: int = 192) -> Image.Image:
    """Lay out pictures with a caption under each.

    Args:
        pictures: Pictures with their captions.
        columns: Pictures in a row, at most.
        tile: Side of a picture on the sheet, in pixels.
    """
    columns = min(columns, len(pictures))
    font = ImageFont.load_default(12)
    texts = [wrap(caption, font, tile) for _, caption in pictures]
    starts = range(0, len(pictures), columns)
    line = round(font.getbbox("Ag")[3]) + 3
    heights = [tile + 4 + line * max(len(text) for text in texts[start : start + columns]) for start in starts]
    width = _MARGIN + columns * (tile + _MARGIN)
    sheet = Image.new("RGB", (width, _MARGIN + sum(height + _MARGIN for height in heights)), _PAPER)
    draw = ImageDraw.Draw(sheet)
    y = _MARGIN
    for start, height in zip(starts, heights, strict=True):
        for column, (image, _) in enumerate(pictures[start : start + columns]):
            x = _MARGIN + column * (tile + _MARGIN)
            sheet.paste(fit_tile(image, tile), (x, y))
            for number, words in enumerate(texts[start + column]):
                draw.text((x, y + tile + 4 + number * line), words, fill=_INK, font=font)
        y += height + _MARGIN
    return sheet


def wrap(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: float) -> list[str]:
    """Break a text into lines no wider than `width` pixels, as far as its words allow."""
    lines: list[str] = []
    for word in text.split():
        if lines and font.getlength(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def fit_tile(image: Image.Image, tile: int) -> Image.Image:
    """Scale a picture into a square; by whole factors without smoothing."""
    scale = tile / max(image.size)
    method = Image.Resampling.NEAREST if scale >= 1 and scale.is_integer() else Image.Resampling.LANCZOS
    resized = image.convert("RGB").resize((round(image.width * scale), round(image.height * scale)), method)
    padded = Image.new("RGB", (tile, tile), _PAPER)
    padded.paste(resized, ((tile - resized.width) // 2, (tile - resized.height) // 2))
    return padded
