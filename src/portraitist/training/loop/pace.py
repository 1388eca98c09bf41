"""Noticing that steps have become much slower than the first ones, as when another program takes the cores."""

from statistics import median

_STEPS = 8  # whose median counts: one that is looked at or saved is longer
_MUCH = 4.0


class Pace:
    """Compares the latest steps of a run with its first ones.

    Args:
        elapsed: Seconds that the run has taken before its first step here.
    """

    def __init__(self, elapsed: float) -> None:
        self._before = elapsed
        self._first: list[float] = []
        self._latest: list[float] = []

    def add(self, elapsed: float) -> float | None:
        """Add a step that ended after so many seconds of the run.

        Returns:
            How many times as long as the first steps the latest ones take, once, when they are much longer.
        """
        taken, self._before = elapsed - self._before, elapsed
        if len(self._first) < _STEPS:
            self._first.append(taken)
            return None
        self._latest = [*self._latest, taken][-_STEPS:]
        if len(self._latest) < _STEPS:
            return None
        times = median(self._latest) / max(median(self._first), 1e-9)
        if times < _MUCH:
            return None
        self._first = [median(self._latest)] * _STEPS  # said once, and again only if it becomes much worse
        self._latest = []
        return times
