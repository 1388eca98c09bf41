"""How sharp a photo is: a number that does not depend on its light, and not on a background that is out of focus."""

import numpy as np
from PIL import Image

# Shorter side at which sharpness is measured: another size has other numbers.
MEASURED_SIDE = 512
_TILES = 8
_SHARPEST = 0.95


def sharpness(picture: Image.Image) -> float:
    """Measure a picture, reduced to a shorter side of 512 pixels.

    The variance of the second derivative tells focus (the variance of the Laplacian, Pech-Pacheco et al., ICPR 2000;
    as a measure LAPV in Pertuz et al., Pattern Recognition 2013). Three things are our own: it is taken in the worst
    of four directions, so that moving the camera shows; in the sharpest twentieth of 64 tiles, so that a background
    out of focus does not; and divided by the variance of the whole picture, so that dim light does not.

    Args:
        picture: RGB pixels.

    Returns:
        Zero for a picture of one colour; 0.03 to 1 for photos in focus.
    """
    grey = np.asarray(shrink(picture, MEASURED_SIDE).convert("L"), dtype=np.float64)
    contrast = grey.var()
    if contrast == 0 or min(grey.shape) < _TILES + 2:
        return 0.0
    derivatives = _second_differences(grey)
    return min(float(np.quantile(_tile_variances(derivative), _SHARPEST)) for derivative in derivatives) / contrast


def shrink(picture: Image.Image, side: int) -> Image.Image:
    """Reduce a picture to a shorter side; smaller ones stay."""
    scale = side / min(picture.size)
    if scale >= 1:
        return picture
    return picture.resize(
        (max(side, round(picture.width * scale)), max(side, round(picture.height * scale))), Image.Resampling.LANCZOS
    )


def _second_differences(grey: np.ndarray) -> list[np.ndarray]:
    """Return second derivatives along rows, columns and both diagonals; a diagonal's step is longer by sqrt(2)."""
    middle = 2 * grey[1:-1, 1:-1]
    return [
        grey[1:-1, :-2] + grey[1:-1, 2:] - middle,
        grey[:-2, 1:-1] + grey[2:, 1:-1] - middle,
        (grey[:-2, :-2] + grey[2:, 2:] - middle) / 2,
        (grey[:-2, 2:] + grey[2:, :-2] - middle) / 2,
    ]


def _tile_variances(values: np.ndarray) -> list[float]:
    rows = np.array_split(values, _TILES, axis=0)
    return [float(tile.var()) for row in rows for tile in np.array_split(row, _TILES, axis=1)]
