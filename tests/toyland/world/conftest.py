"""One painter for all tests of the world: drawing its artwork takes seconds."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from drawn_world import shared_painter

from portraitist.toyland.world.painting import Painter, plan
from portraitist.toyland.world.pictures import PictureSpec

Paint = Callable[[Sequence[PictureSpec]], np.ndarray]


@pytest.fixture(scope="session")
def painter() -> Painter:
    return shared_painter()


@pytest.fixture(scope="session")
def paint(painter: Painter) -> Paint:
    """Return a function that paints specifications, float ``[n, h, w, 3]`` from 0 to 255."""

    def painted(specs: Sequence[PictureSpec]) -> np.ndarray:
        return painter.paint(plan(specs)).permute(0, 2, 3, 1).numpy().astype(np.float32)

    return painted
