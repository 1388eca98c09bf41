"""Where a curve comes to a value."""

import pytest

from portraitist.studies.report.goals import TrainingPoint, reach

CURVE = [TrainingPoint(0, 0.0, 0.2), TrainingPoint(10, 5.0, 0.4), TrainingPoint(20, 10.0, 0.3)]


def test_between_two_points_the_curve_is_straight() -> None:
    assert reach(CURVE, 0.3) == TrainingPoint(pytest.approx(5), pytest.approx(2.5), 0.3)


def test_one_that_begins_beyond_the_goal_is_there_at_once() -> None:
    assert reach(CURVE, 0.1) == CURVE[0]


def test_one_that_never_comes_there_has_no_such_point() -> None:
    assert reach(CURVE, 0.5) is None
    assert reach([], 0.5) is None


def test_lower_may_be_better() -> None:
    found = reach([TrainingPoint(0, 0, 1.0), TrainingPoint(10, 1, 0.0)], 0.25, higher_is_better=False)
    assert found is not None
    assert found.step == pytest.approx(7.5)
