"""Shapes in SVG, as short as they are drawn. Coordinates are those of `portraitist.toyland.world.vector`."""

INK = "#2a2430"
WHITE = "#ffffff"
SHADE = "#000000"  # laid over a colour at a low opacity


def ellipse(x: float, y: float, rx: float, ry: float | None = None, fill: str = INK, opacity: float = 1.0) -> str:
    """Return an ellipse, a circle if only one radius is given."""
    return f'<ellipse cx="{x}" cy="{y}" rx="{rx}" ry="{rx if ry is None else ry}" fill="{fill}"{_opacity(opacity)}/>'


def shape(outline: str, fill: str = INK, opacity: float = 1.0) -> str:
    """Return a filled path."""
    return f'<path d="{outline}" fill="{fill}"{_opacity(opacity)}/>'


def line(course: str, width: float, colour: str = INK, opacity: float = 1.0) -> str:
    """Return a path drawn with a round pen."""
    return (
        f'<path d="{course}" stroke="{colour}" stroke-width="{width}" stroke-linecap="round" stroke-linejoin="round"'
        f"{_opacity(opacity)}/>"
    )


def box(
    x: float, y: float, width: float, height: float, radius: float = 0.0, fill: str = INK, opacity: float = 1.0
) -> str:
    """Return a rectangle with rounded corners."""
    return f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="{radius}" fill="{fill}"{_opacity(opacity)}/>'


def placed(fragment: str, x: float = 0.0, y: float = 0.0, scale: float = 1.0, turn: float = 0.0) -> str:
    """Return a fragment turned by degrees, scaled, then moved."""
    return f'<g transform="translate({x} {y}) scale({scale}) rotate({turn})">{fragment}</g>'


def mirrored(fragment: str, axis: float = 256.0) -> str:
    """Return a fragment together with its mirror image about a vertical axis."""
    return f'{fragment}<g transform="matrix(-1 0 0 1 {2 * axis} 0)">{fragment}</g>'


def _opacity(opacity: float) -> str:
    return "" if opacity == 1.0 else f' opacity="{opacity}"'
