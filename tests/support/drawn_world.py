"""Toyland's painter, whose artwork takes seconds to draw: one for all tests of a process."""

from functools import cache

from portraitist.toyland.world.painting import Painter


@cache
def shared_painter() -> Painter:
    return Painter()
