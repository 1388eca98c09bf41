"""Uniform bars around a photo, as screenshots and films have them: they are no detail, and would be learnt."""

import numpy as np
from PIL import Image

# Values of 255 by which lines of one bar differ, as JPEG leaves them.
_EVEN = 12
# A bar ends in such a step along most of its length; elsewhere a background fades, or a subject begins.
_STEP = 24
_MOST = 0.6
# A bar is at least so much of its side; thinner ones are frames, and cost nothing.
_THINNEST = 0.02
_WIDEST = 0.4

Box = tuple[int, int, int, int]


def find_borders(picture: Image.Image) -> Box | None:
    """Return the part of a picture inside bars of one colour; None if it has none.

    A bar is even over its whole length, and ends in a step along most of it: a white background in front of which
    something stands does not.

    Returns:
        Left, top, right, bottom in pixels.
    """
    values = np.asarray(picture.convert("RGB"), dtype=np.int16)
    top, bottom = _bar(values), _bar(values[::-1])
    left, right = _bar(values.swapaxes(0, 1)), _bar(values.swapaxes(0, 1)[::-1])
    if not any((top, bottom, left, right)):
        return None
    return left, top, picture.width - right, picture.height - bottom


def _bar(lines: np.ndarray) -> int:
    """Return how many of the first lines ``[n, length, 3]`` are a bar."""
    colour = np.median(lines[0], axis=0)
    even = np.quantile(np.abs(lines - colour).max(axis=2), 0.99, axis=1) <= _EVEN
    count = len(lines) if even.all() else int(np.argmin(even))
    if not _THINNEST * len(lines) <= count <= _WIDEST * len(lines):
        return 0
    # The line after the bar's last may be blended with it.
    inner = lines[min(count + 1, len(lines) - 1)]
    return count + 1 if (np.abs(inner - colour).max(axis=1) >= _STEP).mean() >= _MOST else 0
