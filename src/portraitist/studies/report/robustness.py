"""How much a method's scores move over a setting, such as fourteen learning rates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import mean, stdev
from typing import Any

from portraitist.evaluation.statistics import paired_difference
from portraitist.studies.report.statistics import can_decide

# What is left of the best score where a setting still counts as good.
KEPT = 0.9


@dataclass(frozen=True)
class Robustness:
    """A method's scores over the values of a setting.

    Attributes:
        method: The method.
        scores: Scores by subject at each value, in order of the values; two values or more.
        higher_is_better: Which way is good.
        failed: The values at which runs failed, as they do when training diverges; where all did, nothing else tells.
    """

    method: str
    scores: Mapping[Any, Mapping[str, float]]
    higher_is_better: bool = True
    failed: tuple[Any, ...] = ()

    @cached_property
    def means(self) -> dict[Any, float]:
        """Return the mean over subjects at each value."""
        return {value: mean(by_subject.values()) for value, by_subject in self.scores.items()}

    @property
    def best_value(self) -> Any:
        """Return the value at which the mean score is best."""
        return (max if self.higher_is_better else min)(self.means, key=self.means.__getitem__)

    @property
    def lowest(self) -> float:
        """Return the smallest mean score."""
        return min(self.means.values())

    @property
    def highest(self) -> float:
        """Return the largest mean score."""
        return max(self.means.values())

    @property
    def spread(self) -> float:
        """Return the range of the mean scores."""
        return self.highest - self.lowest

    @property
    def deviation(self) -> float:
        """Return the standard deviation (n - 1) of the mean scores over the values."""
        return stdev(self.means.values())

    @property
    def deviations(self) -> dict[str, float]:
        """Return the standard deviation (n - 1) of each subject's own scores, of those that have one at every value."""
        subjects = set.intersection(*(set(by_subject) for by_subject in self.scores.values()))
        return {subject: stdev(at[subject] for at in self.scores.values()) for subject in subjects}

    @property
    def kept(self) -> tuple[Any, Any] | None:
        """Return the ends of the values about the best one that all keep 90 % of its score.

        None where a share of the score says nothing: lower is better, or the best is not above zero.
        """
        values, best = list(self.means), self.means[self.best_value]
        if not self.higher_is_better or best <= 0:
            return None
        first = last = values.index(self.best_value)
        while first > 0 and self.means[values[first - 1]] >= KEPT * best:
            first -= 1
        while last + 1 < len(values) and self.means[values[last + 1]] >= KEPT * best:
            last += 1
        return values[first], values[last]


def steadiest(found: Sequence[Robustness]) -> Robustness | None:
    """Return the method whose scores move least; None where that cannot be said.

    It must do so by range and by standard deviation of the means, and subject by subject by more than noise. Over
    different numbers of values methods are not compared, nor where training failed at one.
    """
    if len(found) < 2 or len({len(each.scores) for each in found}) > 1 or any(each.failed for each in found):
        return None
    least = min(found, key=lambda each: each.spread)
    if least is not min(found, key=lambda each: each.deviation):
        return None
    differences = [paired_difference(least.deviations, each.deviations) for each in found if each is not least]
    sure = all(each is not None and can_decide(each) and each.high < 0 for each in differences)
    return least if sure else None
