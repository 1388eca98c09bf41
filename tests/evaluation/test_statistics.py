"""Intervals against scipy, win rates by hand."""

import numpy as np
import pytest
import scipy.stats

from portraitist.evaluation.statistics import bootstrap_interval, paired_difference, win_rate


def test_the_interval_is_the_percentile_bootstrap_of_the_mean() -> None:
    values = np.random.default_rng(0).normal(0.6, 0.1, 12)
    interval = bootstrap_interval(values.tolist())
    theirs = scipy.stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    assert interval.mean == pytest.approx(values.mean())
    assert interval.low == pytest.approx(theirs.low, abs=0.003)
    assert interval.high == pytest.approx(theirs.high, abs=0.003)
    assert bootstrap_interval(values.tolist()) == interval
    assert bootstrap_interval(values.tolist(), seed=1) != interval


def test_one_value_has_no_spread() -> None:
    assert bootstrap_interval([0.4]).low == bootstrap_interval([0.4]).high == pytest.approx(0.4)


def test_differences_and_wins_are_over_shared_subjects() -> None:
    one, other = {"a": 0.5, "b": 0.7, "c": 0.1}, {"b": 0.6, "a": 0.5, "d": 0.9}
    difference = paired_difference(one, other)
    assert difference is not None
    assert (difference.mean, difference.count) == (pytest.approx(0.05), 2)
    assert win_rate(one, other) == pytest.approx(0.75)
    assert win_rate(one, other, higher_is_better=False) == pytest.approx(0.25)
    assert paired_difference(one, {}) is None
    assert win_rate(one, {"z": 1.0}) is None
