"""What was measured while training, as one SVG drawn by Vega-Lite: a panel a quantity, the kept step marked."""

from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

import vl_convert

from portraitist.files import write_aside

_WIDTH, _PANEL = 560, 120
_LINE, _KEPT = "#2b6cb0", "#c05621"


def draw_curves(curves: Mapping[str, Sequence[tuple[int, float]]], kept: int | None, path: Path) -> None:
    """Write curves over steps into an SVG file; values that are not finite are left out.

    Args:
        curves: Points (step, value) by name.
        kept: The step whose parameters are kept.
        path: The file.
    """
    finite = {name: [point for point in points if isfinite(point[1])] for name, points in curves.items()}
    last = max((points[-1][0] for points in finite.values() if points), default=1)
    steps = {"type": "quantitative", "scale": {"domain": [0, last]}, "title": "step"}
    specification = {
        "title": {"text": "" if kept is None else f"kept: step {kept}", "color": _KEPT, "anchor": "start"},
        "vconcat": [_panel(name, points, kept, steps) for name, points in finite.items() if points],
        "config": {"axisX": {"grid": False}, "axisY": {"tickCount": 4}, "line": {"color": _LINE, "point": True}},
    }
    with write_aside(path) as temporary:
        temporary.write_text(vl_convert.vegalite_to_svg(specification))


def _panel(
    name: str, points: Sequence[tuple[int, float]], kept: int | None, steps: Mapping[str, Any]
) -> dict[str, Any]:
    values = {"type": "quantitative", "scale": {"zero": False}, "title": name}
    line = {
        "data": {"values": [{"step": step, "value": value} for step, value in points]},
        "mark": "line",
        "encoding": {"x": {"field": "step", **steps}, "y": {"field": "value", **values}},
    }
    rule = {
        "data": {"values": [] if kept is None else [{"step": kept}]},
        "mark": {"type": "rule", "color": _KEPT, "strokeDash": [4, 3]},
        "encoding": {"x": {"field": "step", **steps}},
    }
    return {"width": _WIDTH, "height": _PANEL, "layer": [line, rule]}
