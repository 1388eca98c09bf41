"""Heat maps of similarities, layer by layer: where in the model adapters do the same."""

from collections.abc import Mapping, Sequence
from itertools import groupby

from PIL import Image, ImageDraw, ImageFont

from portraitist.errors import BadConfig

_INK, _PAPER, _RULE = (28, 28, 32), (255, 255, 255), (150, 150, 156)
# Colours of -1, 0 and 1; blue and red are told apart by all kinds of colour vision.
_COLD, _NEUTRAL, _WARM = (33, 102, 172), (247, 247, 247), (178, 24, 43)
_MARGIN, _ROW, _LABELS = 12, 26, 96
_WIDEST_CELL, _MAP_WIDTH = 16, 1100
_BLOCK_DEPTH = 3
_LABEL_SIZE = 11


def draw_heat_map(rows: Sequence[tuple[str, Mapping[str, float]]], title: str = "") -> Image.Image:
    """Draw one row of layers a pair of adapters, blue for -1 over white for 0 to red for 1, its mean beside it.

    Args:
        rows: Captions with similarities in [-1, 1] by layer; rows may lack layers, which stay empty.
        title: A line above everything.

    Raises:
        BadConfig: If there is no layer.
    """
    layers = list(dict.fromkeys(name for _, values in rows for name in values))
    if not layers:
        raise BadConfig("no layers were given to draw a heat map of")
    font = ImageFont.load_default(13)
    left = _MARGIN + max(round(font.getlength(caption)) for caption, _ in rows) + _MARGIN
    cell = max(1, min(_WIDEST_CELL, _MAP_WIDTH // len(layers)))
    right, top = left + cell * len(layers), _MARGIN + (_ROW if title else 0)
    bottom = top + _ROW * len(rows)
    picture = Image.new("RGB", (right + 70, bottom + _LABELS + _MARGIN), _PAPER)
    draw = ImageDraw.Draw(picture)
    draw.text((_MARGIN, _MARGIN), title, fill=_INK, font=font)
    for index, (caption, values) in enumerate(rows):
        y = top + index * _ROW
        draw.text((_MARGIN, y + _ROW / 2), caption, fill=_INK, font=font, anchor="lm")
        for column, name in enumerate(layers):
            if name in values:
                x = left + column * cell
                draw.rectangle((x, y + 2, x + cell - 1, y + _ROW - 3), fill=colour_of(values[name]))
        mean = sum(values.values()) / len(values) if values else float("nan")
        draw.text((right + 8, y + _ROW / 2), f"{mean:+.2f}", fill=_INK, font=font, anchor="lm")
    _label_blocks(picture, layers, left, bottom, cell, top)
    return picture


def colour_of(value: float) -> tuple[int, int, int]:
    """Return the colour of a similarity in [-1, 1]."""
    end, weight = (_WARM if value >= 0 else _COLD), min(1.0, abs(value))
    red, green, blue = (round(a + weight * (b - a)) for a, b in zip(_NEUTRAL, end, strict=True))
    return red, green, blue


def block_of(layer: str) -> str:
    """Return the block a layer is in: ``unet.down_blocks.1``, ``unet.mid_block``, ``text_encoder``."""
    parts = layer.split(".")
    if not parts[0].startswith(("unet", "transformer")):
        return parts[0]
    return ".".join(parts[:_BLOCK_DEPTH] if len(parts) > 2 and parts[2].isdigit() else parts[:2])


def _label_blocks(picture: Image.Image, layers: Sequence[str], left: int, bottom: int, cell: int, top: int) -> None:
    """Rule the blocks off and write their names under them, upright where there is no room."""
    draw, font, column = ImageDraw.Draw(picture), ImageFont.load_default(_LABEL_SIZE), 0
    for block, members in groupby(layers, block_of):
        width, x = len(list(members)), left + column * cell
        draw.line((x, top, x, bottom + 4), fill=_RULE)
        if width * cell >= _LABEL_SIZE:
            text = block.removeprefix("unet.").removeprefix("transformer.").replace("_blocks", "")
            label = Image.new("RGB", (_LABELS, _LABEL_SIZE + 4), _PAPER)
            ImageDraw.Draw(label).text((_LABELS, 0), text, fill=_INK, font=font, anchor="ra")
            turned = label.rotate(90, expand=True)
            picture.paste(turned, (x + (width * cell - turned.width) // 2, bottom + 6))
        column += width
