"""From rows to results: every arm's scores with intervals, who beats whom, how robust a method is to a setting."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import mean, median
from typing import Any, Literal

from portraitist.evaluation.statistics import Interval, bootstrap_interval, paired_difference, win_rate
from portraitist.studies.grid.planning import (
    UNTRAINED_BASE,
    Arm,
    Cell,
    arms_of,
    references_of,
    setting_words,
    value_words,
)
from portraitist.studies.grid.study import Grid
from portraitist.studies.report.robustness import Robustness
from portraitist.studies.report.statistics import FEWEST_SUBJECTS, can_decide, is_noise, pareto_front, seconds_to_share
from portraitist.studies.runs.engine import Prepared
from portraitist.studies.runs.scoring import Measure, Role
from portraitist.studies.runs.table import Row

_FEWEST_VALUES = 3  # of a setting for which a curve is drawn
_LEAST_SHARE = 0.5  # of the runs of the arm that has most; arms with fewer are not compared

# How an arm stands to the best one: within noise of it, behind it by more than noise, or not to be told.
Standing = Literal["near", "behind", "unknown"]


@dataclass(frozen=True)
class ArmResult:
    """What an arm's runs came to.

    Attributes:
        arm: The arm.
        rows: Its finished runs, by subject and seed; of an arm that is compared, those that all such arms have.
        failures: Its failed runs, by subject and seed.
        done: How many runs are finished.
        planned: How many runs it has when the study is finished.
        compared: Whether it has runs enough to be compared with the others.
    """

    arm: Arm
    rows: Mapping[tuple[str, int], Row]
    failures: Mapping[tuple[str, int], Row]
    done: int
    planned: int
    compared: bool = True

    def by_run(self, measure: str) -> dict[str, float]:
        """Return a measure's values by ``subject/seed``."""
        return {f"{s}/{seed}": row.scores[measure] for (s, seed), row in self.rows.items() if measure in row.scores}

    def by_subject(self, measure: str) -> dict[str, float]:
        """Return a measure's values by subject, averaged over seeds."""
        values: dict[str, list[float]] = {}
        for (subject, _), row in self.rows.items():
            if measure in row.scores:
                values.setdefault(subject, []).append(row.scores[measure])
        return {subject: mean(each) for subject, each in values.items()}

    def interval(self, measure: str) -> Interval | None:
        """Return a measure's mean over subjects and its interval; None without a run."""
        values = list(self.by_subject(measure).values())
        return bootstrap_interval(values) if values else None

    @property
    def parameters(self) -> int | None:
        """Return how many numbers an adapter holds."""
        return self._middle("parameters")

    @property
    def size(self) -> int | None:
        """Return the bytes of an adapter file."""
        return self._middle("size")

    @property
    def seconds(self) -> Interval | None:
        """Return the training time, over runs."""
        values = [row.training_seconds for row in self.rows.values() if row.training_seconds is not None]
        return bootstrap_interval(values) if values else None

    def seconds_to_best(self, measure: Measure, starts: Mapping[str, float]) -> Interval | None:
        """Return the training time in which runs come to 95 % of their own best value of a measure, over runs.

        Args:
            measure: The measure.
            starts: What the base has before it learns, by subject; the way counts from there. Else it counts from zero,
                and from the first checkpoint on.
        """
        times = []
        for (subject, _), row in self.rows.items():
            curve = [(point.seconds, point.scores[measure.name]) for point in row.curve if measure.name in point.scores]
            times.append(seconds_to_share(curve, starts.get(subject), higher_is_better=measure.higher_is_better))
        known = [seconds for seconds in times if seconds is not None]
        return bootstrap_interval(known) if known else None

    def curve(self, measure: str) -> list[tuple[float, float]]:
        """Return mean training seconds and mean value at every checkpoint, over runs."""
        points: dict[int, list[tuple[float, float]]] = {}
        for row in self.rows.values():
            for point in row.curve:
                if measure in point.scores:
                    points.setdefault(point.step, []).append((point.seconds, point.scores[measure]))
        return [(mean(t for t, _ in each), mean(v for _, v in each)) for _, each in sorted(points.items())]

    def _middle(self, field: str) -> int | None:
        values = [getattr(row, field) for row in self.rows.values() if getattr(row, field) is not None]
        return round(median(values)) if values else None


@dataclass(frozen=True)
class GridResult:
    """A grid's arms and the comparisons between them."""

    grid: Grid
    arms: tuple[ArmResult, ...]
    measures: tuple[Measure, ...]
    references: tuple[ArmResult, ...] = ()

    def first(self, role: Role) -> Measure | None:
        """Return the first measure of a role."""
        return next((measure for measure in self.measures if measure.role == role), None)

    @cached_property
    def finished(self) -> tuple[ArmResult, ...]:
        """Return the arms with at least one finished run."""
        return tuple(arm for arm in self.arms if arm.rows)

    @property
    def subjects(self) -> list[str]:
        """Return the subjects that the compared arms share."""
        return sorted({subject for arm in self.compared for subject, _ in arm.rows})

    @cached_property
    def compared(self) -> tuple[ArmResult, ...]:
        """Return the arms that compete with each other, all on the same subjects and seeds."""
        return tuple(arm for arm in self.finished if arm.compared)

    def label(self, arm: ArmResult) -> str:
        """Return an arm's name inside the grid: without what all arms share."""
        values = [value_words(value) for _, value in arm.arm.values]
        if len(self.grid.settings) > 1:
            values = [f"{setting_words(name)} {value_words(value)}" for name, value in arm.arm.values]
        if len(set(self.grid.methods)) > 1 or not values:
            values = [arm.arm.method, *values]
        return ", ".join(values)

    def best(self, measure: Measure) -> ArmResult | None:
        """Return the arm with the best mean over the subjects that all compared arms have."""
        scored = [(arm, scores) for arm in self.compared if (scores := arm.by_subject(measure.name))]
        shared = set.intersection(*(set(scores) for _, scores in scored)) if scored else set()
        if not shared:
            return None
        sign = 1 if measure.higher_is_better else -1
        return max(scored, key=lambda pair: sign * mean(pair[1][subject] for subject in shared))[0]

    def standing(self, arm: ArmResult, best: ArmResult, measure: Measure) -> Standing:
        """Say how an arm stands to the best one, by the interval of the paired difference, subject by subject."""
        difference = paired_difference(arm.by_subject(measure.name), best.by_subject(measure.name))
        if not arm.compared or difference is None or not can_decide(difference):
            return "unknown"
        if is_noise(difference):
            return "near"
        return "behind" if (difference.mean < 0) == measure.higher_is_better else "unknown"

    def within_noise(self, arm: ArmResult, best: ArmResult, measure: Measure) -> bool:
        """Say whether the interval of the paired difference to the best arm holds zero.

        With too few subjects to tell, nothing is said to be within noise.
        """
        return self.standing(arm, best, measure) == "near"

    def no_clear_loss(self, arm: ArmResult, other: ArmResult, measure: Measure) -> bool:
        """Say whether the interval of the paired difference reaches to zero or beyond it, to the good side."""
        difference = paired_difference(arm.by_subject(measure.name), other.by_subject(measure.name))
        if difference is None or not can_decide(difference):
            return False
        return difference.high >= 0.0 if measure.higher_is_better else difference.low <= 0.0

    @property
    def can_decide(self) -> bool:
        """Say whether the compared arms have subjects enough to tell a difference from noise."""
        return len(self.subjects) >= FEWEST_SUBJECTS

    def starts(self, measure: Measure) -> dict[str, float]:
        """Return what the base has of a measure before it learns, by subject; nothing without references."""
        base = next((each for each in self.references if each.arm.method == UNTRAINED_BASE), None)
        return base.by_subject(measure.name) if base else {}

    def wins(self, measure: Measure) -> list[list[float | None]]:
        """Return win rates, row against column, over shared subjects and seeds."""
        values = [arm.by_run(measure.name) for arm in self.finished]
        return [
            [None if one is other else win_rate(one, other, measure.higher_is_better) for other in values]
            for one in values
        ]

    def front(self, one: Measure, other: Measure) -> list[ArmResult]:
        """Return the arms on the Pareto front of two measures, by the first."""
        arms = [arm for arm in self.compared if arm.by_subject(one.name) and arm.by_subject(other.name)]
        points = [(_good(arm, one), _good(arm, other)) for arm in arms]
        return [arms[index] for index in pareto_front(points)]

    @property
    def choice(self) -> tuple[str, Any, Any] | None:
        """Return the setting that is on trial with its two values: the only one, where it has no more of them."""
        if len(self.grid.settings) != 1:
            return None
        ((name, values),) = self.grid.settings.items()
        return (name, values[0], values[1]) if len(values) == 2 else None

    def effects(self, measure: Measure) -> dict[str, Interval]:
        """Return what the choice's second value does to a measure: by method, the paired difference to the first."""
        if self.choice is None:
            return {}
        setting, one, other = self.choice
        arms = {(arm.arm.method, repr(arm.arm.value(setting))): arm.by_subject(measure.name) for arm in self.compared}
        found = {
            method: paired_difference(arms.get((method, repr(other)), {}), arms.get((method, repr(one)), {}))
            for method in self.grid.methods
        }
        return {method: difference for method, difference in found.items() if difference is not None}

    @property
    def axis(self) -> str | None:
        """Return the setting that curves can be drawn over: the only one, with three numbers or more."""
        if len(self.grid.settings) != 1:
            return None
        ((name, values),) = self.grid.settings.items()
        numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
        return name if numbers and len(values) >= _FEWEST_VALUES else None

    def over_axis(self, method: str, measure: Measure) -> dict[Any, dict[str, float]]:
        """Return a method's scores by subject at the values of the axis that have any, in order of the values."""
        if self.axis is None:
            return {}
        arms = {arm.arm.value(self.axis): arm for arm in self.compared if arm.arm.method == method}
        found = {value: arms[value].by_subject(measure.name) for value in sorted(arms)}
        return {value: scores for value, scores in found.items() if scores}

    def robustness(self, method: str, measure: Measure) -> Robustness | None:
        """Return how much a method's score moves over the axis; None with fewer than two values."""
        scores = self.over_axis(method, measure)
        if self.axis is None or len(scores) < 2:
            return None
        failed = tuple(arm.arm.value(self.axis) for arm in self.arms if arm.arm.method == method and arm.failures)
        return Robustness(method, scores, measure.higher_is_better, failed)


@dataclass(frozen=True)
class StudyResult:
    """Everything a report says."""

    prepared: Prepared
    grids: tuple[GridResult, ...]
    rows: Mapping[str, Row]

    @property
    def done(self) -> int:
        """Return how many runs are finished."""
        return sum(row.status == "done" for row in self.rows.values())

    @property
    def failures(self) -> list[Row]:
        """Return the runs that failed."""
        return [row for row in self.rows.values() if row.status == "failed"]

    @property
    def planned(self) -> int:
        """Return how many runs the study has."""
        return len(self.prepared.specs)


def analyse(prepared: Prepared) -> StudyResult:
    """Read the table and group its rows by grids and arms."""
    rows = prepared.table.rows()
    wanted = {spec.key for spec in prepared.specs}
    present = {key: row for key, row in rows.items() if key in wanted}
    known = {name for row in present.values() for name in row.scores}
    measures = tuple(measure for measure in prepared.scorer.measures() if measure.name in known)
    cells: dict[tuple[str, str], list[Cell]] = {}
    for cell in prepared.cells:
        cells.setdefault((cell.arm.grid, cell.arm.label), []).append(cell)
    grids = []
    for grid in prepared.study.grids:
        arms = _on_shared_runs(
            [_arm_result(arm, cells.get((arm.grid, arm.label), []), present) for arm in arms_of(grid)]
        )
        wanted_references = references_of(grid) if prepared.study.references else []
        references = [_arm_result(arm, cells[arm.grid, arm.label], present) for arm in wanted_references]
        subjects = {subject for arm in arms if arm.compared for subject, _ in arm.rows}
        grids.append(GridResult(grid, arms, measures, tuple(_on_subjects(each, subjects) for each in references)))
    return StudyResult(prepared, tuple(grids), present)


def _on_shared_runs(arms: Sequence[ArmResult]) -> tuple[ArmResult, ...]:
    """Keep of every arm the subjects and seeds that all have, so that means are of the same thing.

    Arms that lack more than half of the runs of the fullest one, by failing or by not being finished, would leave
    little to compare; they keep what they have and are not compared.
    """
    most = max((arm.done for arm in arms), default=0)
    compared = [arm for arm in arms if arm.rows and arm.done >= _LEAST_SHARE * most]
    shared = set.intersection(*(set(arm.rows) for arm in compared)) if compared else set()
    return tuple(
        replace(arm, rows={key: row for key, row in arm.rows.items() if key in shared})
        if arm in compared and shared
        else replace(arm, compared=False)
        for arm in arms
    )


def _on_subjects(reference: ArmResult, subjects: Collection[str]) -> ArmResult:
    return replace(reference, rows={key: row for key, row in reference.rows.items() if key[0] in subjects})


def _arm_result(arm: Arm, cells: Sequence[Cell], rows: Mapping[str, Row]) -> ArmResult:
    found = {(cell.subject, cell.seed): rows[cell.spec.key] for cell in cells if cell.spec.key in rows}
    return ArmResult(
        arm,
        {key: row for key, row in found.items() if row.status == "done"},
        {key: row for key, row in found.items() if row.status == "failed"},
        sum(row.status == "done" for row in found.values()),
        len(cells),
    )


def _good(arm: ArmResult, measure: Measure) -> float:
    """Return an arm's mean, turned so that more is better."""
    value = mean(arm.by_subject(measure.name).values())
    return value if measure.higher_is_better else -value
