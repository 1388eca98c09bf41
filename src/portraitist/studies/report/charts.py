"""Charts: Vega-Lite's specifications, drawn ahead of reading as SVG.

Vega is not in the page, only what it drew: a report needs no script for its charts, they follow the reader's colours,
in light and dark, and are some kilobytes, where a charting library inside would be megabytes in every report and take
the phone's scrolling for its own.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import vl_convert
from markupsafe import Markup

_WIDTH, _HEIGHT = 356, 230  # of what lies between the axes
_TEXT = 12
_CHARACTER = 6.4  # a label's width a character
_PAD = 0.06  # of the range, so that no dot lies on the frame
_ROOM = 12  # the same beside curves, as Vega counts it
_PLACES = (("left", 9, -9), ("right", -9, -9), ("left", 9, 10), ("right", -9, 10))  # of a label beside its dot
_LOG_FROM = 20  # a positive axis that spans more than this ratio is logarithmic

_QUIET, _LINE, _INK, _CARD = (f"var(--{name})" for name in ("quiet", "line", "ink", "card"))
_CONFIG: Mapping[str, Any] = {
    "background": None,
    "view": {"stroke": None},
    "axis": {
        "domain": False,
        "gridColor": _LINE,
        "labelColor": _QUIET,
        "labelFontSize": _TEXT,
        "tickColor": _LINE,
        "tickCount": 5,
        "titleColor": _QUIET,
        "titleFontSize": _TEXT,
        "titleFontWeight": "normal",
    },
    "axisX": {"grid": False, "labelFlush": False, "labelOverlap": "greedy", "titleAnchor": "end"},
    "axisY": {
        "labelPadding": 6,
        "ticks": False,
        "titleAlign": "left",
        "titleAngle": 0,
        "titleAnchor": "start",
        "titleX": -36,
        "titleY": -8,
    },
    "legend": {
        "columns": 3,
        "columnPadding": 28,  # fonts of readers are wider than the one that widths are measured with
        "labelColor": _QUIET,
        "labelFontSize": _TEXT,
        "labelLimit": 0,
        "orient": "bottom",
        "symbolType": "circle",
        "title": None,
    },
    "circle": {"opacity": 1, "size": 80, "stroke": _CARD, "strokeWidth": 1.5},
    "line": {"aria": False, "strokeWidth": 2},
    "area": {"aria": False, "opacity": 0.13},
    "rule": {"aria": False, "opacity": 0.45, "strokeWidth": 1.5},
    "text": {"aria": False, "fontSize": _TEXT},
}


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
class Chart:
    """A chart that can be drawn.

    Attributes:
        title: What it shows; a page writes it above.
        specification: Vega-Lite's, with colours as the pages' style names them.
        legend: Colour and name of each line, for a page to write below; points without lines have labels instead.
        front: Whether a dashed line joins a Pareto front.
    """

    title: str
    specification: Mapping[str, Any]
    legend: tuple[tuple[int, str], ...] = ()
    front: bool = False

    def draw(self) -> Markup:
        """Return the SVG for a page that writes the legend and defines the colours."""
        return self._svg({**_CONFIG, "legend": {"disable": True}})

    def draw_alone(self, style: str) -> Markup:
        """Return the SVG of a file of its own: with title, legend, and the style that defines the colours."""
        head, rest = self._svg(_CONFIG).split(">", 1)
        return Markup("{}><title>{}</title><style>{}</style>{}\n").format(head, self.title, Markup(style), rest)

    def _svg(self, config: Mapping[str, Any]) -> Markup:
        return Markup(vl_convert.vegalite_to_svg({**self.specification, "config": config}))


def scatter(title: str, x_label: str, y_label: str, points: Sequence[Point]) -> Chart:
    """Show points with their intervals and join those of the Pareto front."""
    x_ends = _ends([(point.x, *(point.x_range or ())) for point in points])
    y_ends = _ends([(point.y, *(point.y_range or ())) for point in points])
    places = _label_places(points, x_ends, y_ends)
    values = [{**_values(point), **place} for point, place in zip(points, places, strict=True)]
    encoding = {
        "x": _axis("x", x_label, domain=x_ends, nice=False),
        "y": _axis("y", y_label, domain=y_ends, nice=False),
        "color": {"field": "colour", "type": "nominal", "scale": None},
    }
    label = {"type": "text", **{name: {"expr": f"datum.{name}"} for name in ("align", "dx", "dy")}}
    layers: Sequence[Mapping[str, Any]] = (
        {
            "transform": [{"filter": "datum.front"}],
            "mark": {"type": "line", "strokeDash": [4, 4], "strokeWidth": 1.5},
            "encoding": {"color": {"value": _QUIET}},
        },
        {"mark": "rule", "encoding": {"x": {"field": "left"}, "x2": {"field": "right"}}},
        {"mark": "rule", "encoding": {"y": {"field": "bottom"}, "y2": {"field": "top"}}},
        {"mark": "circle", "encoding": {"description": {"field": "note"}}},
        {"mark": label, "encoding": {"text": {"field": "label"}, "color": {"value": _INK}}},
    )
    front = sum(point.front for point in points) > 1
    return Chart(title, _specification(values, encoding, layers), front=front)


def curves(title: str, x_label: str, y_label: str, series: Sequence[Series]) -> Chart:
    """Draw lines with their intervals as bands; a wide positive horizontal axis becomes logarithmic."""
    values = [{**_values(point), "series": each.label} for each in series for point in each.points]
    xs = [point.x for each in series for point in each.points]
    wide = min(xs) > 0 and max(xs) / min(xs) > _LOG_FROM
    colours = {"domain": [each.label for each in series], "range": [_colour(each.colour) for each in series]}
    x = _axis("x", x_label, type="log" if wide else "linear", nice=False, padding=_ROOM)
    encoding = {
        "x": {**x, "axis": _round_ticks(min(xs), max(xs))} if wide else x,
        "y": _axis("y", y_label, nice=False, padding=_ROOM),
        "color": {"field": "series", "type": "nominal", "scale": colours},
    }
    layers: Sequence[Mapping[str, Any]] = (
        {"mark": "area", "encoding": {"y": {"field": "bottom"}, "y2": {"field": "top"}}},
        {"mark": "line"},
        {"mark": "circle", "encoding": {"description": {"field": "note"}}},
    )
    legend = tuple((each.colour, each.label) for each in series)
    return Chart(title, _specification(values, encoding, layers), legend)


def by_group(title: str, y_label: str, groups: Sequence[str], series: Sequence[Series]) -> Chart:
    """Draw dots with their intervals, side by side in every group.

    Args:
        title: What it shows.
        y_label: Name of the vertical axis.
        groups: Names of the groups, in order.
        series: What is side by side; a point's label is its group.
    """
    values = [{**_values(point), "series": each.label} for each in series for point in each.points]
    names = [each.label for each in series]
    colours = {"domain": names, "range": [_colour(each.colour) for each in series]}
    labels = {"labelAngle": 0, "labelExpr": "split(datum.label, ' ')", "labelOverlap": False, "ticks": False}
    encoding = {
        "x": {"field": "label", "type": "nominal", "sort": list(groups), "title": None, "axis": labels},
        "xOffset": {"field": "series", "type": "nominal", "sort": names},
        "y": _axis("y", y_label, nice=False, padding=_ROOM),
        "color": {"field": "series", "type": "nominal", "scale": colours},
    }
    layers: Sequence[Mapping[str, Any]] = (
        {"mark": "rule", "encoding": {"y": {"field": "bottom"}, "y2": {"field": "top"}}},
        {"mark": "circle", "encoding": {"description": {"field": "note"}}},
    )
    legend = tuple((each.colour, each.label) for each in series)
    return Chart(title, _specification(values, encoding, layers), legend)


def _specification(
    values: Sequence[Mapping[str, Any]], encoding: Mapping[str, Any], layers: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    return {
        "width": _WIDTH,
        "height": _HEIGHT,
        "data": {"values": values},
        "encoding": encoding,
        "layer": layers,
    }


def _values(point: Point) -> dict[str, Any]:
    """Return what the specification names of a point; an interval that is not there has no length."""
    left, right = point.x_range or (point.x, point.x)
    bottom, top = point.y_range or (point.y, point.y)
    return {
        "x": point.x,
        "y": point.y,
        "left": left,
        "right": right,
        "bottom": bottom,
        "top": top,
        "colour": _colour(point.colour),
        "front": point.front,
        "label": point.label,
        "note": point.note or point.label,
    }


def _axis(field: str, label: str, **scale: Any) -> dict[str, Any]:
    return {"field": field, "type": "quantitative", "title": label, "scale": {"zero": False, **scale}}


def _round_ticks(low: float, high: float) -> dict[str, Any]:
    """Return an axis with the ticks of a logarithm: few round numbers of each power of ten, all of them labelled."""
    span = math.log10(high / low)
    factors = (1, 2, 5) if span < 2 else (1, 3) if span < 3 else (1,)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    values = [float(f"{factor}e{power}") for power in powers for factor in factors]
    inside = [value for value in values if low <= value <= high]
    return {"values": inside, "tickCount": len(inside), "labelExpr": "datum.value"}


def _colour(index: int) -> str:
    return f"var(--c{index})"


def _ends(values: Sequence[Sequence[float]]) -> tuple[float, float]:
    """Return the ends of an axis with room on both sides, so that no dot lies on the frame."""
    low, high = min(map(min, values)), max(map(max, values))
    room = (high - low) * _PAD or abs(high) * _PAD or 1.0
    return low - room, high + room


_Box = tuple[float, float, float, float]


def _label_places(
    points: Sequence[Point], x_ends: tuple[float, float], y_ends: tuple[float, float]
) -> list[dict[str, Any]]:
    """Return where every label stands beside its dot: where it covers least of what is there.

    Vega's own placing of labels paints on a canvas, which there is none of outside a browser.
    """
    dots = [
        (
            (point.x - x_ends[0]) / (x_ends[1] - x_ends[0]) * _WIDTH,
            (y_ends[1] - point.y) / (y_ends[1] - y_ends[0]) * _HEIGHT,
        )
        for point in points
    ]
    taken: list[_Box] = [(x - 5, y - 5, x + 5, y + 5) for x, y in dots]
    places = []
    for (x, y), point in zip(dots, points, strict=True):
        boxes = {place: _box(x, y, len(point.label) * _CHARACTER, place) for place in _PLACES}
        best = min(_PLACES, key=lambda place: _covered(boxes[place], taken))
        taken.append(boxes[best])
        places.append(dict(zip(("align", "dx", "dy"), best, strict=True)))
    return places


def _box(x: float, y: float, width: float, place: tuple[str, int, int]) -> _Box:
    align, dx, dy = place
    left = x + dx - (width if align == "right" else 0)
    return (left, y + dy - _TEXT / 2, left + width, y + dy + _TEXT / 2)


def _covered(box: _Box, taken: Sequence[_Box]) -> float:
    """Return how much of what is drawn a box covers; leaving the frame counts most."""
    outside = max(0.0, -box[0]) + max(0.0, box[2] - _WIDTH) + max(0.0, -box[1]) + max(0.0, box[3] - _HEIGHT)
    overlap = sum(
        max(0.0, min(box[2], other[2]) - max(box[0], other[0]))
        * max(0.0, min(box[3], other[3]) - max(box[1], other[1]))
        for other in taken
    )
    return overlap + 100 * outside
