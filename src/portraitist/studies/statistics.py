"""What may be said of a few subjects: intervals, paired differences, win rates, Pareto fronts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from portraitist.randomness import numpy_generator

LEVEL = 0.95
RESAMPLES = 10_000
# All paired differences of n subjects have the same sign by chance with probability 2^(1-n), and a bootstrap interval
# then never holds zero; below six subjects that is more than 5 %, and nothing can be told from noise.
FEWEST_SUBJECTS = 6


@dataclass(frozen=True)
class Interval:
    """A mean with its confidence interval; of a single value, both ends are the value.

    Attributes:
        mean: The mean.
        low: Lower end.
        high: Upper end.
        count: How many values it is of.
    """

    mean: float
    low: float
    high: float
    count: int


def is_known(interval: Interval) -> bool:
    """Say whether there are enough values for an interval."""
    return interval.count > 1


def can_decide(interval: Interval) -> bool:
    """Say whether there are enough values for the interval to tell a difference from noise."""
    return interval.count >= FEWEST_SUBJECTS


def bootstrap_interval(values: Sequence[float], seed: int = 0) -> Interval:
    """Return the mean and its percentile bootstrap interval of level 95 % (Efron 1979).

    Args:
        values: One value a subject, so that the interval speaks of other subjects of the same kind.
        seed: Seed of the resampling.
    """
    data = np.asarray(values, dtype=np.float64)
    draws = numpy_generator(seed, "bootstrap").integers(len(data), size=(RESAMPLES, len(data)))
    low, high = np.quantile(data[draws].mean(axis=1), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(data.mean()), float(low), float(high), len(data))


def paired_difference(one: Mapping[str, float], other: Mapping[str, float]) -> Interval | None:
    """Return the interval of `one` minus `other` over the subjects both have; None if there are none."""
    shared = sorted(one.keys() & other.keys())
    return bootstrap_interval([one[name] - other[name] for name in shared]) if shared else None


def win_rate(one: Mapping[str, float], other: Mapping[str, float], higher_is_better: bool = True) -> float | None:
    """Return the share of shared keys at which `one` is better than `other`; ties count half; None without any."""
    shared = [key for key in one if key in other]
    if not shared:
        return None
    sign = 1 if higher_is_better else -1
    outcomes = [np.sign(sign * (one[key] - other[key])) for key in shared]
    return float(np.mean([(outcome + 1) / 2 for outcome in outcomes]))


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
    curve: Sequence[tuple[float, float]], share: float = 0.95, higher_is_better: bool = True
) -> float | None:
    """Return the time at which a curve first reaches a share of its own best value.

    Between two points the curve is taken as straight; when the first point is there already, its time is returned.

    Args:
        curve: Seconds with positive values, in order of time.
        share: The share, 1 being the best value itself; where lower is better, the value may be higher by ``1/share``.
        higher_is_better: Which way is good.
    """
    if not curve:
        return None
    sign = 1 if higher_is_better else -1
    best = max(curve, key=lambda point: sign * point[1])[1]
    goal = best * share if higher_is_better else best / share
    before: tuple[float, float] | None = None
    for seconds, value in curve:
        if sign * value >= sign * goal:
            if before is None or value == before[1]:
                return seconds
            part = (goal - before[1]) / (value - before[1])
            return before[0] + part * (seconds - before[0])
        before = (seconds, value)
    return None
