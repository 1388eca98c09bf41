"""Noticing that a run has become slow."""

import itertools

from portraitist.training.loop.pace import Pace


def said(steps: list[float]) -> list[tuple[int, float]]:
    pace = Pace(10.0)
    found = ((step, pace.add(10.0 + at)) for step, at in enumerate(itertools.accumulate(steps), start=1))
    return [(step, round(times, 2)) for step, times in found if times is not None]


def test_steps_that_become_much_slower_are_said_once() -> None:
    assert said([1.0] * 20 + [10.0] * 40) == [(24, 5.5)]
    assert len(said([1.0] * 20 + [10.0] * 20 + [100.0] * 40)) == 2


def test_even_steps_and_single_long_ones_are_fine() -> None:
    assert said([1.0] * 50) == []
    assert said([*[1.0] * 20, 60.0, *[1.0] * 20, 60.0, *[1.0] * 20]) == []
    assert said([1.0] * 8 + [3.0] * 40) == []
