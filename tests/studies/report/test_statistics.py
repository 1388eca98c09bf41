"""Pareto fronts, and the time to a share of the best, against values worked out by hand."""

import pytest

from portraitist.evaluation.statistics import Interval
from portraitist.studies.report.statistics import FEWEST_SUBJECTS, can_decide, is_known, pareto_front, seconds_to_share


def test_what_is_beaten_at_both_is_not_on_the_front() -> None:
    points = [(0.0, 3.0), (1.0, 2.0), (0.5, 1.0), (2.0, 0.0), (1.0, 1.9)]
    assert pareto_front(points) == [0, 1, 3]


def test_equal_points_are_both_on_the_front() -> None:
    assert pareto_front([(1.0, 1.0), (1.0, 1.0), (0.0, 1.0)]) == [0, 1]


@pytest.mark.parametrize(
    ("curve", "seconds"),
    [
        ([(10.0, 0.5), (20.0, 1.0)], 19.0),  # 0.95 is nine tenths of the way up
        ([(10.0, 0.96), (20.0, 1.0)], 10.0),
        ([(10.0, 0.5), (20.0, 1.0), (30.0, 0.7)], 19.0),  # its best, not its last
        ([(10.0, -0.3), (20.0, -0.1)], None),  # there is no way to a best below zero
        ([], None),
    ],
)
def test_time_to_a_share_of_the_best(curve: list[tuple[float, float]], seconds: float | None) -> None:
    assert seconds_to_share(curve) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("start", "seconds"),
    [
        (0.5, 15.0),  # at 0.75, half of the way from 0.5 to 1.0
        (-0.5, 7.5),  # at 0.25; the straight line from -0.5 to 0.5 takes ten seconds
        (1.0, None),
    ],
)
def test_the_way_begins_where_the_base_is(start: float, seconds: float | None) -> None:
    curve = [(10.0, 0.5), (20.0, 1.0)]
    assert seconds_to_share(curve, start, 0.5) == (None if seconds is None else pytest.approx(seconds))


def test_where_lower_is_better_the_share_is_above_the_best() -> None:
    assert seconds_to_share([(10.0, 2.0), (20.0, 1.0)], share=0.5, higher_is_better=False) == 10.0
    assert seconds_to_share([(10.0, 3.0), (20.0, 1.0)], share=0.5, higher_is_better=False) == pytest.approx(15.0)
    assert seconds_to_share([(10.0, 1.0)], 2.0, share=0.5, higher_is_better=False) == pytest.approx(5.0)


def test_few_subjects_decide_nothing() -> None:
    """A sign test on n subjects has no smaller p than 2^(1-n)."""
    assert 2 ** (1 - FEWEST_SUBJECTS) < 0.05 <= 2 ** (2 - FEWEST_SUBJECTS)
    assert can_decide(Interval(1.0, 0.9, 1.1, FEWEST_SUBJECTS))
    assert not can_decide(Interval(1.0, 0.9, 1.1, FEWEST_SUBJECTS - 1))
    assert is_known(Interval(1.0, 0.9, 1.1, 2))
    assert not is_known(Interval(1.0, 1.0, 1.0, 1))
