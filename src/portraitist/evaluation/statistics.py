"""What may be said of a few subjects: bootstrap intervals, paired differences, win rates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from portraitist.randomness import numpy_generator

LEVEL = 0.95
RESAMPLES = 10_000


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
    """Return at which share of shared subjects `one` is better than `other`; ties count half; None without any."""
    shared = sorted(one.keys() & other.keys())
    if not shared:
        return None
    sign = 1 if higher_is_better else -1
    outcomes = [np.sign(sign * (one[name] - other[name])) for name in shared]
    return float(np.mean([(outcome + 1) / 2 for outcome in outcomes]))
