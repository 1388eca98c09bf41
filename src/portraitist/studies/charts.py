"""Charts as coordinates; the template draws them as inline SVG.

A page of inline SVG follows the reader's colours and text size, needs no script and is some kilobytes, where a
charting library would put megabytes of script into every report and take the phone's scrolling for its own.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

WIDTH, HEIGHT = 420, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 50, 14, 26, 44
_CHARACTER, _LINE = 6.4, 13.0  # size of a label's character, with the template's font
_MARK = 14.0  # from a legend's dot to its name
_PAD = 0.06  # of the range, so that no dot lies on the frame
_LOG_FROM = 20  # a positive axis that spans more than this ratio is logarithmic


@dataclass(frozen=True)
class Point:
    """A point to draw, in data units.

    Attributes:
        x: Horizontal value.
        y: Vertical value.
        label: Its name.
        note: What is said when it is pointed at.
        x_range: Ends of the horizontal interval.
        y_range: Ends of the vertical interval.
        colour: Index into the palette.
        front: Whether it is on the Pareto front.
    """

    x: float
    y: float
    label: str = ""
    note: str = ""
    x_range: tuple[float, float] | None = None
    y_range: tuple[float, float] | None = None
    colour: int = 0
    front: bool = False


@dataclass(frozen=True)
class Series:
    """Points joined by a line."""

    label: str
    points: Sequence[Point]
    colour: int


@dataclass(frozen=True)
class Tick:
    """A mark on an axis: its place in the picture, and its words."""

    at: float
    label: str


@dataclass(frozen=True)
class Dot:
    """A point's place in the picture."""

    x: float
    y: float
    note: str
    colour: int
    front: bool
    left: float | None = None
    right: float | None = None
    top: float | None = None
    bottom: float | None = None
    label: str = ""
    label_x: float = 0.0
    label_y: float = 0.0
    anchor: str = "start"


@dataclass(frozen=True)
class Path:
    """A line's place in the picture, with the band of its intervals."""

    label: str
    colour: int
    line: str
    band: str
    dots: tuple[Dot, ...]


@dataclass(frozen=True)
class Chart:
    """Everything the template needs to draw."""

    title: str
    x_label: str
    y_label: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    paths: tuple[Path, ...] = ()
    dots: tuple[Dot, ...] = ()
    front: str = ""

    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    right: int = WIDTH - _RIGHT
    top: int = _TOP
    bottom: int = HEIGHT - _BOTTOM

    @property
    def legend(self) -> tuple[tuple[int, str], ...]:
        """Return colour and name of each line."""
        return tuple((path.colour, path.label) for path in self.paths)

    @property
    def legend_places(self) -> tuple[tuple[float, float, int, str], ...]:
        """Return places, colours and names of the lines below the picture, for one that stands alone."""
        places: list[tuple[float, float, int, str]] = []
        x, y = float(self.left), self.height + _LINE
        for colour, label in self.legend:
            width = _MARK + len(label) * _CHARACTER
            if places and x + width > self.right:
                x, y = float(self.left), y + _LINE + 4
            places.append((round(x, 1), y, colour, label))
            x += width + _MARK
        return tuple(places)

    @property
    def height_with_legend(self) -> float:
        """Return the height of the picture with its legend below."""
        return max((y + 6 for _, y, _, _ in self.legend_places), default=float(self.height))


class _Scale:
    """Maps values to places between two ends of the picture."""

    def __init__(self, values: Sequence[float], start: float, end: float, log: bool = False) -> None:
        low, high = min(values), max(values)
        self.log = log and low > 0 and high / low > _LOG_FROM
        self.low, self.high = self._bend(low), self._bend(high)
        room = (self.high - self.low) * _PAD or abs(self.high) * _PAD or 1.0
        self.low, self.high = self.low - room, self.high + room
        self.start, self.end = start, end

    def __call__(self, value: float) -> float:
        share = (self._bend(value) - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self, count: int = 5) -> tuple[Tick, ...]:
        """Return round values inside the scale."""
        if self.log:
            powers = range(math.floor(self.low), math.ceil(self.high) + 1)
            factors = (1, 2, 5) if self.high - self.low < 2 else (1, 3) if self.high - self.low < 3 else (1,)
            values = [factor * 10.0**power for power in powers for factor in factors]
            inside = [value for value in values if self.low <= math.log10(value) <= self.high]
            return tuple(Tick(self(value), f"{value:g}") for value in inside)
        step = nice_step((self.high - self.low) / count)
        first, last = math.ceil(self.low / step), math.floor(self.high / step)
        digits = max(0, -math.floor(math.log10(step)))
        return tuple(Tick(self(index * step), f"{index * step:.{digits}f}") for index in range(first, last + 1))

    def _bend(self, value: float) -> float:
        return math.log10(value) if self.log else value


def nice_step(step: float) -> float:
    """Return the smallest of 1, 2, 5 times a power of ten that is no less than `step`."""
    power = 10.0 ** math.floor(math.log10(step))
    return float(next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step * (1 - 1e-9)))


def scatter(title: str, x_label: str, y_label: str, points: Sequence[Point]) -> Chart:
    """Draw points with their intervals and join those of the Pareto front."""
    x_scale, y_scale = _scales(points)
    dots = _label([_dot(point, x_scale, y_scale) for point in points], [point.label for point in points])
    front = sorted((dot for dot in dots if dot.front), key=lambda dot: dot.x)
    joined = " ".join(f"{dot.x},{dot.y}" for dot in front) if len(front) > 1 else ""
    return Chart(title, x_label, y_label, x_scale.ticks(), y_scale.ticks(), dots=tuple(dots), front=joined)


def curves(title: str, x_label: str, y_label: str, series: Sequence[Series]) -> Chart:
    """Draw lines with their intervals as bands; a wide positive horizontal axis becomes logarithmic."""
    x_scale, y_scale = _scales([point for each in series for point in each.points], log=True)
    paths = []
    for each in series:
        dots = tuple(_dot(replace(point, colour=each.colour), x_scale, y_scale) for point in each.points)
        line = " ".join(f"{dot.x},{dot.y}" for dot in dots)
        edged = [dot for dot in dots if dot.top is not None]
        band = [f"{dot.x},{dot.top}" for dot in edged] + [f"{dot.x},{dot.bottom}" for dot in reversed(edged)]
        paths.append(Path(each.label, each.colour, line, " ".join(band) if len(edged) > 1 else "", dots))
    return Chart(title, x_label, y_label, x_scale.ticks(), y_scale.ticks(), paths=tuple(paths))


def _scales(points: Sequence[Point], log: bool = False) -> tuple[_Scale, _Scale]:
    xs = [value for point in points for value in (point.x, *(point.x_range or ()))]
    ys = [value for point in points for value in (point.y, *(point.y_range or ()))]
    return _Scale(xs, _LEFT, WIDTH - _RIGHT, log), _Scale(ys, HEIGHT - _BOTTOM, _TOP)


def _dot(point: Point, x_scale: _Scale, y_scale: _Scale) -> Dot:
    left, right = map(x_scale, point.x_range) if point.x_range else (None, None)
    bottom, top = map(y_scale, point.y_range) if point.y_range else (None, None)
    x, y = x_scale(point.x), y_scale(point.y)
    return Dot(x, y, point.note or point.label, point.colour, point.front, left, right, top, bottom)


def _label(dots: Sequence[Dot], labels: Sequence[str]) -> list[Dot]:
    """Give every dot its label at the side where it covers least of what is there."""
    taken = [(dot.x - 5, dot.y - 5, dot.x + 5, dot.y + 5) for dot in dots]
    labelled = []
    for dot, label in zip(dots, labels, strict=True):
        width = len(label) * _CHARACTER
        places = [
            (dot.x + 9, dot.y - 5, "start"),
            (dot.x - 9, dot.y - 5, "end"),
            (dot.x + 9, dot.y + 14, "start"),
            (dot.x - 9, dot.y + 14, "end"),
        ]
        boxes = [_box(x, y, width, anchor) for x, y, anchor in places]
        index = min(range(len(places)), key=lambda i: _covered(boxes[i], taken))
        taken.append(boxes[index])
        x, y, anchor = places[index]
        labelled.append(_with_label(dot, label, x, y, anchor))
    return labelled


def _with_label(dot: Dot, label: str, x: float, y: float, anchor: str) -> Dot:
    return replace(dot, label=label, label_x=round(x, 1), label_y=round(y, 1), anchor=anchor)


_Box = tuple[float, float, float, float]


def _box(x: float, y: float, width: float, anchor: str) -> _Box:
    left = x if anchor == "start" else x - width
    return (left, y - _LINE + 2, left + width, y + 2)


def _covered(box: _Box, taken: Sequence[_Box]) -> float:
    """Return how much of what is drawn a box covers; leaving the frame counts most."""
    outside = max(0.0, _LEFT - box[0]) + max(0.0, box[2] - (WIDTH - _RIGHT)) + max(0.0, _TOP - box[1])
    overlap = sum(
        max(0.0, min(box[2], other[2]) - max(box[0], other[0]))
        * max(0.0, min(box[3], other[3]) - max(box[1], other[1]))
        for other in taken
    )
    return overlap + 100 * outside
