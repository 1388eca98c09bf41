"""The demo as one picture."""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from portraitist.generation.sheets import fit_tile, wrap
from portraitist.studies.experiments.demo.demo import SEEDS, Comparison, Demo, Lesson

# Everything is drawn at twice its nominal size, so that text stays sharp where the picture is shown smaller.
_DENSITY = 2
_TILE, _PHOTO, _GAP, _MARGIN, _GUTTER = 128, 216, 6, 36, 40
_COLUMNS = 2
_TITLES, _CAPTION, _LABEL, _ROW_GAP = 96, 24, 20, 22
_ROW = _CAPTION + _TILE + _LABEL + _ROW_GAP
_PHOTO_ROW = _ROW_GAP + _CAPTION + _PHOTO + _ROW_GAP
_TITLE, _TEXT, _SMALL, _TINY = 32, 15, 14, 11
_PAPER, _INK, _QUIET, _ACCENT, _LINE = (250, 249, 246), (33, 32, 29), (122, 118, 108), (194, 86, 26), (222, 218, 208)

Corner = tuple[int, int]
Colour = tuple[int, int, int]


def draw_poster(demo: Demo, title: str, subtitle: str) -> Image.Image:
    """Draw title and subtitle, and for every subject its photos and under them its comparisons, two in a row."""
    cell = (1 + len(SEEDS)) * (_TILE + _GAP)
    width = 2 * _MARGIN + _COLUMNS * cell + (_COLUMNS - 1) * _GUTTER
    heights = [_height(lesson) for lesson in demo.lessons]
    canvas = _Canvas(width, _MARGIN + _TITLES + sum(heights) + _MARGIN)
    _draw_titles(canvas, title, subtitle)
    y = _MARGIN + _TITLES
    for lesson, height in zip(demo.lessons, heights, strict=True):
        _draw_lesson(canvas, y, lesson, cell)
        y += height
    return canvas.image


def _height(lesson: Lesson) -> int:
    """Return how high a subject's part is."""
    rows = -(-len(lesson.comparisons) // _COLUMNS)
    return _PHOTO_ROW + rows * _ROW


def _draw_titles(canvas: "_Canvas", title: str, subtitle: str) -> None:
    """Write title and subtitle."""
    y, space = _MARGIN - 8, canvas.width - 2 * _MARGIN
    for size, words, colour in ((_TITLE, title, _INK), (_TEXT, subtitle, _QUIET)):
        for line in wrap(words, _font(size), space * _DENSITY):
            canvas.text((_MARGIN, y), line, size, colour)
            y += round(size * 1.3)
        y += 6


def _draw_lesson(canvas: "_Canvas", top: int, lesson: Lesson, cell: int) -> None:
    """Draw a subject: a line, the photos, the comparisons."""
    canvas.line((_MARGIN, top), canvas.width - _MARGIN)
    photos = lesson.subject.photos
    tile = min(_PHOTO, (canvas.width - 2 * _MARGIN) // len(photos) - _GAP)
    words = canvas.text((_MARGIN, top + _ROW_GAP), f"the {len(photos)} photos of ", _SMALL, _QUIET)
    canvas.text((_MARGIN + words, top + _ROW_GAP), lesson.trigger, _SMALL, _ACCENT)
    canvas.tiles((_MARGIN, top + _ROW_GAP + _CAPTION), photos, tile)
    for index, comparison in enumerate(lesson.comparisons):
        x = _MARGIN + index % _COLUMNS * (cell + _GUTTER)
        _draw_comparison(canvas, (x, top + _PHOTO_ROW + index // _COLUMNS * _ROW), comparison, lesson)


def _draw_comparison(canvas: "_Canvas", corner: Corner, comparison: Comparison, lesson: Lesson) -> None:
    """Draw one prompt: the words, the base model's picture, and the personalised ones."""
    x, y = corner
    after = x + _TILE + 2 * _GAP
    start, _, rest = comparison.prompt.partition(lesson.trigger)
    pen = x
    for words, colour in ((start, _INK), (lesson.trigger, _ACCENT), (rest, _INK)):
        pen += canvas.text((pen, y), words, _SMALL, colour)
    canvas.tiles((x, y + _CAPTION), [comparison.before], _TILE)
    canvas.tiles((after, y + _CAPTION), comparison.after, _TILE)
    below = y + _CAPTION + _TILE + 3
    canvas.text((x, below), f"a {lesson.noun}, base model", _TINY, _QUIET)
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
