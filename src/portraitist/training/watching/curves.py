"""What was measured while training, as one SVG: a panel a quantity, the kept step marked."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from portraitist.files import write_aside

_WIDTH, _PANEL, _LEFT, _RIGHT, _TOP, _GAP = 640, 120, 90, 20, 36, 34
_INK, _LINE, _KEPT = "#222228", "#2b6cb0", "#c05621"


def draw_curves(curves: Mapping[str, Sequence[tuple[int, float]]], kept: int | None, path: Path) -> None:
    """Write curves over steps into an SVG file.

    Args:
        curves: Points (step, value) by name.
        kept: The step whose parameters are kept.
        path: The file.
    """
    last = max((points[-1][0] for points in curves.values() if points), default=1)
    height = _TOP + len(curves) * (_PANEL + _GAP)
    title = "" if kept is None else f"kept: step {kept}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" viewBox="0 0 {_WIDTH} {height}"'
        ' font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{height}" fill="white"/>',
        f'<text x="{_LEFT}" y="20" fill="{_KEPT}">{title}</text>',
    ]
    for number, (name, points) in enumerate(curves.items()):
        if points:
            parts += _panel(name, points, kept, last, _TOP + number * (_PANEL + _GAP))
    with write_aside(path) as temporary:
        temporary.write_text("\n".join([*parts, "</svg>\n"]))


def _panel(name: str, points: Sequence[tuple[int, float]], kept: int | None, last: int, top: float) -> list[str]:
    values = [value for _, value in points]
    low, high = min(values), max(values)
    span = (high - low) or abs(high) or 1.0

    def x(step: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * step / last

    def y(value: float) -> float:
        return top + _PANEL - 8 - (_PANEL - 16) * (value - low) / span

    line = " ".join(f"{x(step):.1f},{y(value):.1f}" for step, value in points)
    parts = [
        f'<text x="8" y="{top + _PANEL / 2}" fill="{_INK}">{escape(name)}</text>',
        f'<text x="{_LEFT - 6}" y="{y(high) + 4:.1f}" text-anchor="end" fill="{_INK}">{high:.4g}</text>',
        f'<rect x="{_LEFT}" y="{top}" width="{_WIDTH - _LEFT - _RIGHT}" height="{_PANEL}" fill="none" stroke="#ccc"/>',
        f'<polyline points="{line}" fill="none" stroke="{_LINE}" stroke-width="2"/>',
        *(f'<circle cx="{x(step):.1f}" cy="{y(value):.1f}" r="2.5" fill="{_LINE}"/>' for step, value in points),
        f'<text x="{_LEFT}" y="{top + _PANEL + 14}" fill="{_INK}">0</text>',
        f'<text x="{_WIDTH - _RIGHT}" y="{top + _PANEL + 14}" text-anchor="end" fill="{_INK}">step {last}</text>',
    ]
    if high != low:
        parts.append(f'<text x="{_LEFT - 6}" y="{y(low) + 4:.1f}" text-anchor="end" fill="{_INK}">{low:.4g}</text>')
    if kept is not None:
        parts.append(f'<path d="M{x(kept):.1f} {top}v{_PANEL}" stroke="{_KEPT}" stroke-dasharray="4 3"/>')
    return parts
