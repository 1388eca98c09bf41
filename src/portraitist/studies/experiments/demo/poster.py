"""The demo as one picture."""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from portraitist.generation.sheets import fit_tile, wrap
from portraitist.studies.experiments.demo.demo import SEEDS, Comparison, Demo

# Everything is drawn at twice its nominal size, so that text stays sharp where the picture is shown smaller.
_DENSITY = 2
_TILE, _GAP, _MARGIN, _GUTTER = 128, 6, 36, 40
_COLUMNS = 2
_HEADER, _CAPTION, _LABEL, _ROW_GAP = 164, 24, 20, 22
_TITLE, _TEXT, _SMALL, _TINY = 32, 15, 14, 11
_PAPER, _INK, _QUIET, _ACCENT, _LINE = (250, 249, 246), (33, 32, 29), (122, 118, 108), (194, 86, 26), (222, 218, 208)

Corner = tuple[int, int]
Colour = tuple[int, int, int]


def draw_poster(demo: Demo, title: str, subtitle: str) -> Image.Image:
    """Draw title and photos side by side, and under them all comparisons, two in a row."""
    cell = (1 + len(SEEDS)) * (_TILE + _GAP)
    width = 2 * _MARGIN + _COLUMNS * cell + (_COLUMNS - 1) * _GUTTER
    grid = _MARGIN + _HEADER + 2 * _ROW_GAP
    row_height = _CAPTION + _TILE + _LABEL + _ROW_GAP
    rows = -(-len(demo.comparisons) // _COLUMNS)
    canvas = _Canvas(width, grid + rows * row_height - _ROW_GAP + _MARGIN)
    _draw_header(canvas, demo, title, subtitle)
    canvas.line((_MARGIN, grid - _ROW_GAP), width - _MARGIN)
    for index, comparison in enumerate(demo.comparisons):
        x = _MARGIN + index % _COLUMNS * (cell + _GUTTER)
        _draw_comparison(canvas, (x, grid + index // _COLUMNS * row_height), comparison, demo)
    return canvas.image


def _draw_header(canvas: "_Canvas", demo: Demo, title: str, subtitle: str) -> None:
    """Write the title, and lay the photos at the right margin."""
    photos = demo.subject.photos
    tile = min(_TILE, canvas.width * 11 // 20 // len(photos) - _GAP)
    left = canvas.width - _MARGIN - len(photos) * (tile + _GAP) + _GAP
    canvas.text((left, _MARGIN), f"the {len(photos)} photos", _SMALL, _QUIET)
    canvas.tiles((left, _MARGIN + _CAPTION), photos, tile)
    y, space = _MARGIN - 8, left - 2 * _MARGIN
    for size, words, width, colour in ((_TITLE, title, space * 3 // 4, _INK), (_TEXT, subtitle, space, _QUIET)):
        for line in wrap(words, _font(size), width * _DENSITY):
            canvas.text((_MARGIN, y), line, size, colour)
            y += round(size * 1.3)
        y += 10


def _draw_comparison(canvas: "_Canvas", corner: Corner, comparison: Comparison, demo: Demo) -> None:
    """Draw one prompt: the words, the base model's picture, and the personalised ones."""
    x, y = corner
    after = x + _TILE + 2 * _GAP
    start, _, rest = comparison.prompt.partition(demo.trigger)
    pen = x
    for words, colour in ((start, _INK), (demo.trigger, _ACCENT), (rest, _INK)):
        pen += canvas.text((pen, y), words, _SMALL, colour)
    canvas.tiles((x, y + _CAPTION), [comparison.before], _TILE)
    canvas.tiles((after, y + _CAPTION), comparison.after, _TILE)
    below = y + _CAPTION + _TILE + 3
    canvas.text((x, below), f"a {demo.subject.class_noun}, base model", _TINY, _QUIET)
    for index, seed in enumerate(SEEDS):
        canvas.text((after + index * (_TILE + _GAP), below), f"seed {seed}", _TINY, _ACCENT)


class _Canvas:
    """A picture with drawing in nominal coordinates."""

    def __init__(self, width: int, height: int) -> None:
        self.width = width
        self.image = Image.new("RGB", (width * _DENSITY, height * _DENSITY), _PAPER)
        self.draw = ImageDraw.Draw(self.image)

    def text(self, corner: Corner, words: str, size: int, colour: Colour) -> int:
        """Write one line and return its width."""
        x, y = corner
        self.draw.text((x * _DENSITY, y * _DENSITY), words, fill=colour, font=_font(size))
        return round(_font(size).getlength(words) / _DENSITY)

    def tiles(self, corner: Corner, images: Sequence[Image.Image], tile: int) -> None:
        """Lay pictures side by side."""
        x, y = corner
        for index, image in enumerate(images):
            place = ((x + index * (tile + _GAP)) * _DENSITY, y * _DENSITY)
            self.image.paste(fit_tile(image, tile * _DENSITY), place)

    def line(self, corner: Corner, right: int) -> None:
        """Rule a thin line."""
        x, y = corner
        self.draw.line([(x * _DENSITY, y * _DENSITY), (right * _DENSITY, y * _DENSITY)], fill=_LINE, width=_DENSITY)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size * _DENSITY)
