"""What comparing many variants takes beyond intervals: when they decide, Pareto fronts, time to a share of the best."""

from collections.abc import Sequence

from portraitist.evaluation.statistics import Interval
from portraitist.studies.report.goals import TrainingPoint, reach

# All paired differences of n subjects have the same sign by chance with probability 2^(1-n), and a bootstrap interval
# then never holds zero; below six subjects that is more than 5 %, and nothing can be told from noise.
FEWEST_SUBJECTS = 6


def is_known(interval: Interval) -> bool:
    """Say whether there are enough values for an interval."""
    return interval.count > 1


def can_decide(interval: Interval) -> bool:
    """Say whether there are enough values for the interval to tell a difference from noise."""
    return interval.count >= FEWEST_SUBJECTS


def is_noise(difference: Interval) -> bool:
    """Say whether the interval of a difference holds zero."""
    return difference.low <= 0.0 <= difference.high


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Return the indices of points that no other point beats in one coordinate without losing in the other.

    Larger is better in both; the indices are ordered by the first coordinate.
    """
    front = [
        index
        for index, (x, y) in enumerate(points)
        if not any(a >= x and b >= y and (a, b) != (x, y) for a, b in points)
    ]
    return sorted(front, key=lambda index: points[index])


def seconds_to_share(
    curve: Sequence[tuple[float, float]],
    start: float | None = None,
    share: float = 0.95,
    higher_is_better: bool = True,
) -> float | None:
    """Return the time at which a curve has first gone a share of the way to its own best value.

    Between two points the curve is taken as straight.

    Args:
        curve: Seconds with values, in order of time.
        start: The value at second 0, where the way begins. None lets it begin at the value zero, and the curve at its
            first point.
        share: The share of the way, 1 being the best value itself.
        higher_is_better: Which way is good.

    Returns:
        Seconds, or None if the curve never rises above where the way begins.
    """
    if not curve:
        return None
    sign = 1 if higher_is_better else -1
    first = 0.0 if start is None else start
    points = list(curve) if start is None else [(0.0, start), *curve]
    best = max((value for _, value in curve), key=lambda value: sign * value)
    if start is None and not higher_is_better:
        goal = best / share  # there is no way down to the best from zero; it may be higher by the share
    elif sign * (best - first) <= 0:
        return None
    else:
        goal = first + share * (best - first)
    found = reach([TrainingPoint(0, seconds, value) for seconds, value in points], goal, higher_is_better)
    return None if found is None else found.seconds
