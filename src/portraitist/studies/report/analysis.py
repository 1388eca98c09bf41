"""From runs to results: every variant's scores with intervals, who beats whom, how robust a method is to a setting."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from statistics import mean, median
from typing import Any, Literal

from portraitist.evaluation.statistics import Interval, bootstrap_interval, paired_difference, win_rate
from portraitist.studies.grid.planning import Cell
from portraitist.studies.grid.study import Grid
from portraitist.studies.grid.variants import UNTRAINED_BASE, Variant, references_of, variants_of, with_words
from portraitist.studies.report.goals import TrainingPoint, reach
from portraitist.studies.report.robustness import Robustness
from portraitist.studies.report.sets import set_scores
from portraitist.studies.report.statistics import FEWEST_SUBJECTS, can_decide, is_noise, pareto_front, seconds_to_share
from portraitist.studies.runs.engine import Prepared
from portraitist.studies.runs.scoring import OF_ADAPTERS, OF_SETS, Aspect, MetricInfo
from portraitist.studies.runs.table import RunRecord, RunTable

_FEWEST_VALUES = 3  # of a setting for which a curve is drawn
_LEAST_SHARE = 0.5  # of the runs of the variant that has most; variants with fewer are not compared

# How a variant stands to the best one: within noise of it, behind it by more than noise, or not to be told.
Standing = Literal["near", "behind", "unknown"]


@dataclass(frozen=True)
class VariantResult:
    """What a variant's runs came to.

    Attributes:
        variant: The variant, or a reference.
        runs: Its finished runs, by subject and seed; of a variant that is compared, those that all such variants have.
        failures: Its failed runs, by subject and seed.
        done: How many runs are finished.
        planned: How many runs it has when the study is finished.
        compared: Whether it has runs enough to be compared with the others.
        of_set: What is measured of all its pictures together, by metric.
    """

    variant: Variant
    runs: Mapping[tuple[str, int], RunRecord]
    failures: Mapping[tuple[str, int], RunRecord]
    done: int
    planned: int
    compared: bool = True
    of_set: Mapping[str, float] = field(default_factory=dict)

    @property
    def method(self) -> str:
        """Return the name of the method, or of the reference."""
        return self.variant.method

    @property
    def label(self) -> str:
        """Return the variant's words for tables."""
        return self.variant.label

    def by_run(self, metric: str) -> dict[str, float]:
        """Return a metric's values by ``subject/seed``."""
        return {f"{s}/{seed}": run.scores[metric] for (s, seed), run in self.runs.items() if metric in run.scores}

    def by_subject(self, metric: str) -> dict[str, float]:
        """Return a metric's values by subject, averaged over seeds."""
        values: dict[str, list[float]] = {}
        for (subject, _), run in self.runs.items():
            if metric in run.scores:
                values.setdefault(subject, []).append(run.scores[metric])
        return {subject: mean(each) for subject, each in values.items()}

    def interval(self, metric: str) -> Interval | None:
        """Return a metric's mean over subjects and its interval, or what it is of all together; None without a run."""
        if metric in self.of_set:
            return bootstrap_interval([self.of_set[metric]])
        values = list(self.by_subject(metric).values())
        return bootstrap_interval(values) if values else None

    @property
    def parameters(self) -> int | None:
        """Return how many numbers an adapter holds."""
        return self._middle("parameters")

    @property
    def file_bytes(self) -> int | None:
        """Return the size of an adapter file."""
        return self._middle("file_bytes")

    @property
    def seconds(self) -> Interval | None:
        """Return the training time, over runs."""
        values = [run.training_seconds for run in self.runs.values() if run.training_seconds is not None]
        return bootstrap_interval(values) if values else None

    def seconds_to_best(self, metric: MetricInfo, starts: Mapping[str, float]) -> Interval | None:
        """Return the training time in which runs come to 95 % of their own best value of a metric, over runs.

        Args:
            metric: The metric.
            starts: What the base has before it learns, by subject; the way counts from there. Else it counts from zero,
                and from the first checkpoint on.
        """
        times = []
        for (subject, _), run in self.runs.items():
            curve = [(point.seconds, point.scores[metric.name]) for point in run.curve if metric.name in point.scores]
            times.append(seconds_to_share(curve, starts.get(subject), higher_is_better=metric.higher_is_better))
        known = [seconds for seconds in times if seconds is not None]
        return bootstrap_interval(known) if known else None

    @property
    def steps(self) -> int | None:
        """Return how many steps were trained; None where a run says nothing of steps."""
        counts = [run.spec["recipe"]["steps"] for run in self.runs.values() if "steps" in run.spec["recipe"]]
        return round(median(counts)) if counts else None

    def curve(self, metric: str) -> list[TrainingPoint]:
        """Return mean training seconds and mean value at every checkpoint, over runs."""
        points: dict[int, list[tuple[float, float]]] = {}
        for run in self.runs.values():
            for point in run.curve:
                if metric in point.scores:
                    points.setdefault(point.step, []).append((point.seconds, point.scores[metric]))
        return [
            TrainingPoint(step, mean(t for t, _ in each), mean(v for _, v in each))
            for step, each in sorted(points.items())
        ]

    def _middle(self, field: str) -> int | None:
        values = [getattr(run, field) for run in self.runs.values() if getattr(run, field) is not None]
        return round(median(values)) if values else None


@dataclass(frozen=True)
class GridResult:
    """A grid's variants and the comparisons between them."""

    grid: Grid
    variants: tuple[VariantResult, ...]
    metrics: tuple[MetricInfo, ...]
    references: tuple[VariantResult, ...] = ()

    def first(self, aspect: Aspect) -> MetricInfo | None:
        """Return the first metric of an aspect."""
        return next((metric for metric in self.metrics if metric.aspect == aspect), None)

    @cached_property
    def finished(self) -> tuple[VariantResult, ...]:
        """Return the variants with at least one finished run."""
        return tuple(variant for variant in self.variants if variant.runs)

    @property
    def subjects(self) -> list[str]:
        """Return the subjects that the compared variants share."""
        return sorted({subject for variant in self.compared for subject, _ in variant.runs})

    @cached_property
    def compared(self) -> tuple[VariantResult, ...]:
        """Return the variants that compete with each other, all on the same subjects and seeds."""
        return tuple(variant for variant in self.finished if variant.compared)

    def label(self, variant: VariantResult) -> str:
        """Return a variant's name inside the grid: without what all variants share."""
        words = list(variant.variant.words)
        if len(self.grid.settings) == 1:
            words = [self.grid.value_words(name, value) for name, value in variant.variant.values]
        if len(set(self.grid.methods)) == 1 and words:
            return ", ".join(words)
        return with_words(variant.method, words)

    def best(self, metric: MetricInfo) -> VariantResult | None:
        """Return the variant with the best mean over the subjects that all compared variants have."""
        scored = [(variant, scores) for variant in self.compared if (scores := variant.by_subject(metric.name))]
        shared = set.intersection(*(set(scores) for _, scores in scored)) if scored else set()
        if not shared:
            return None
        sign = 1 if metric.higher_is_better else -1
        return max(scored, key=lambda pair: sign * mean(pair[1][subject] for subject in shared))[0]

    def standing(self, variant: VariantResult, best: VariantResult, metric: MetricInfo) -> Standing:
        """Say how a variant stands to the best one, by the interval of the paired difference, subject by subject."""
        difference = paired_difference(variant.by_subject(metric.name), best.by_subject(metric.name))
        if not variant.compared or difference is None or not can_decide(difference):
            return "unknown"
        if is_noise(difference):
            return "near"
        return "behind" if (difference.mean < 0) == metric.higher_is_better else "unknown"

    def within_noise(self, variant: VariantResult, best: VariantResult, metric: MetricInfo) -> bool:
        """Say whether the interval of the paired difference to the best variant holds zero.

        With too few subjects to tell, nothing is said to be within noise.
        """
        return self.standing(variant, best, metric) == "near"

    def no_clear_loss(self, variant: VariantResult, other: VariantResult, metric: MetricInfo) -> bool:
        """Say whether the interval of the paired difference reaches to zero or beyond it, to the good side."""
        difference = paired_difference(variant.by_subject(metric.name), other.by_subject(metric.name))
        if difference is None or not can_decide(difference):
            return False
        return difference.high >= 0.0 if metric.higher_is_better else difference.low <= 0.0

    @property
    def can_decide(self) -> bool:
        """Say whether the compared variants have subjects enough to tell a difference from noise."""
        return len(self.subjects) >= FEWEST_SUBJECTS

    def starts(self, metric: MetricInfo) -> dict[str, float]:
        """Return what the base has of a metric before it learns, by subject; nothing without references."""
        base = next((each for each in self.references if each.method == UNTRAINED_BASE), None)
        return base.by_subject(metric.name) if base else {}

    def wins(self, metric: MetricInfo) -> list[list[float | None]]:
        """Return win rates, row against column, over shared subjects and seeds."""
        values = [variant.by_run(metric.name) for variant in self.finished]
        return [
            [None if one is other else win_rate(one, other, metric.higher_is_better) for other in values]
            for one in values
        ]

    def front(self, one: MetricInfo, other: MetricInfo) -> list[VariantResult]:
        """Return the variants on the Pareto front of two metrics, by the first."""
        variants = [
            variant for variant in self.compared if variant.by_subject(one.name) and variant.by_subject(other.name)
        ]
        points = [(_good(variant, one), _good(variant, other)) for variant in variants]
        return [variants[index] for index in pareto_front(points)]

    @property
    def choice(self) -> tuple[str, Any, Any] | None:
        """Return the setting that is on trial with its two values: the only one, where it has no more of them."""
        if len(self.grid.settings) != 1:
            return None
        ((name, values),) = self.grid.settings.items()
        return (name, values[0], values[1]) if len(values) == 2 else None

    def effects(self, metric: MetricInfo) -> dict[str, Interval]:
        """Return what the choice's second value does to a metric: by method, the paired difference to the first."""
        if self.choice is None:
            return {}
        setting, one, other = self.choice
        variants = {
            (variant.method, repr(variant.variant.value(setting))): variant.by_subject(metric.name)
            for variant in self.compared
        }
        found = {
            method: paired_difference(variants.get((method, repr(other)), {}), variants.get((method, repr(one)), {}))
            for method in self.grid.methods
        }
        return {method: difference for method, difference in found.items() if difference is not None}

    @property
    def rival(self) -> VariantResult | None:
        """Return the variant that all others are compared with, where the study names one that has runs."""
        return next((each for each in self.compared if each.method == self.grid.against), None)

    def differences(self, metric: MetricInfo) -> dict[str, Interval]:
        """Return by method each variant's paired difference to the rival, subject by subject."""
        if self.rival is None:
            return {}
        theirs = self.rival.by_subject(metric.name)
        others = [each for each in self.compared if each is not self.rival]
        found = {each.method: paired_difference(each.by_subject(metric.name), theirs) for each in others}
        return {method: difference for method, difference in found.items() if difference is not None}

    def way_to_rival(self, variant: VariantResult, metric: MetricInfo) -> TrainingPoint | None:
        """Return where a variant's curve comes to where the rival's ends; None if it never does, or there is none."""
        ends = self.rival.curve(metric.name)[-1:] if self.rival is not None else []
        return reach(variant.curve(metric.name), ends[0].value, metric.higher_is_better) if ends else None

    @property
    def axis(self) -> str | None:
        """Return the setting that curves can be drawn over: the only one, with three numbers or more."""
        if len(self.grid.settings) != 1:
            return None
        ((name, values),) = self.grid.settings.items()
        numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
        return name if numbers and len(values) >= _FEWEST_VALUES else None

    def over_axis(self, method: str, metric: MetricInfo) -> dict[Any, dict[str, float]]:
        """Return a method's scores by subject at the values of the axis that have any, in order of the values."""
        if self.axis is None:
            return {}
        variants = {variant.variant.value(self.axis): variant for variant in self.compared if variant.method == method}
        found = {value: variants[value].by_subject(metric.name) for value in sorted(variants)}
        return {value: scores for value, scores in found.items() if scores}

    def robustness(self, method: str, metric: MetricInfo) -> Robustness | None:
        """Return how much a method's score moves over the axis; None with fewer than two values."""
        scores = self.over_axis(method, metric)
        if self.axis is None or len(scores) < 2:
            return None
        failed = tuple(
            variant.variant.value(self.axis)
            for variant in self.variants
            if variant.method == method and variant.failures
        )
        return Robustness(method, scores, metric.higher_is_better, failed)


@dataclass(frozen=True)
class StudyResult:
    """Everything a report says."""

    prepared: Prepared
    grids: tuple[GridResult, ...]
    runs: Mapping[str, RunRecord]

    @property
    def done(self) -> int:
        """Return how many runs are finished."""
        return sum(run.status == "done" for run in self.runs.values())

    @property
    def failures(self) -> list[RunRecord]:
        """Return the runs that failed."""
        return [run for run in self.runs.values() if run.status == "failed"]

    @property
    def planned(self) -> int:
        """Return how many runs the study has."""
        return len(self.prepared.specs)


def analyse(prepared: Prepared) -> StudyResult:
    """Read the table and group its runs by grids and variants."""
    runs = prepared.table.records()
    wanted = {spec.key for spec in prepared.specs}
    present = {key: run for key, run in runs.items() if key in wanted}
    known = {name for run in present.values() for name in run.scores} | {OF_SETS.name}
    metrics = tuple(metric for metric in (*prepared.scorer.metrics(), *OF_ADAPTERS) if metric.name in known)
    cells: dict[tuple[str, str], list[Cell]] = {}
    for cell in prepared.cells:
        cells.setdefault((cell.variant.grid, cell.variant.label), []).append(cell)
    grids = []
    for grid in prepared.study.grids:
        variants: Sequence[VariantResult] = _on_shared_runs(
            [
                _variant_result(variant, cells.get((variant.grid, variant.label), []), present)
                for variant in variants_of(grid)
            ]
        )
        wanted_references = references_of(grid) if prepared.study.references else []
        references = [
            _variant_result(variant, cells[variant.grid, variant.label], present) for variant in wanted_references
        ]
        subjects = {subject for variant in variants if variant.compared for subject, _ in variant.runs}
        references = [_on_subjects(each, subjects) for each in references]
        variants, references = ([_as_set(each, prepared.table) for each in some] for some in (variants, references))
        scored = {name for variant in variants for run in variant.runs.values() for name in run.scores}
        scored |= {name for variant in variants for name in variant.of_set}
        own = tuple(metric for metric in metrics if not scored or metric.name in scored)
        grids.append(GridResult(grid, tuple(variants), own, tuple(references)))
    return StudyResult(prepared, tuple(grids), present)


def _on_shared_runs(variants: Sequence[VariantResult]) -> tuple[VariantResult, ...]:
    """Keep of every variant the subjects and seeds that all have, so that means are of the same thing.

    Arms that lack more than half of the runs of the fullest one, by failing or by not being finished, would leave
    little to compare; they keep what they have and are not compared.
    """
    most = max((variant.done for variant in variants), default=0)
    compared = [variant for variant in variants if variant.runs and variant.done >= _LEAST_SHARE * most]
    shared = set.intersection(*(set(variant.runs) for variant in compared)) if compared else set()
    return tuple(
        replace(variant, runs={key: run for key, run in variant.runs.items() if key in shared})
        if variant in compared and shared
        else replace(variant, compared=False)
        for variant in variants
    )


def _on_subjects(reference: VariantResult, subjects: Collection[str]) -> VariantResult:
    return replace(reference, runs={key: run for key, run in reference.runs.items() if key[0] in subjects})


def _as_set(variant: VariantResult, table: RunTable) -> VariantResult:
    return replace(variant, of_set=set_scores(variant.runs.values(), table))


def _variant_result(variant: Variant, cells: Sequence[Cell], runs: Mapping[str, RunRecord]) -> VariantResult:
    found = {(cell.subject, cell.seed): runs[cell.spec.key] for cell in cells if cell.spec.key in runs}
    return VariantResult(
        variant,
        {key: run for key, run in found.items() if run.status == "done"},
        {key: run for key, run in found.items() if run.status == "failed"},
        sum(run.status == "done" for run in found.values()),
        len(cells),
    )


def _good(variant: VariantResult, metric: MetricInfo) -> float:
    """Return a variant's mean, turned so that more is better."""
    value = mean(variant.by_subject(metric.name).values())
    return value if metric.higher_is_better else -value
