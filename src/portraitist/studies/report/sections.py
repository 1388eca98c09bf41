"""What the report shows of each grid: a table, charts, win rates, pictures; the templates only lay it out."""

from collections.abc import Mapping
from dataclasses import dataclass

from PIL import Image

from portraitist.evaluation.statistics import Interval, bootstrap_interval
from portraitist.studies.grid.variants import REFERENCES
from portraitist.studies.grid.words import setting_words, value_words
from portraitist.studies.report.analysis import GridResult, StudyResult, VariantResult
from portraitist.studies.report.charts import Chart, Point, Series, curves, scatter
from portraitist.studies.report.findings import choice_words, grid_findings, in_figures, in_words
from portraitist.studies.report.picture_grids import PictureGrid, picture_grids
from portraitist.studies.report.prompt_groups import GroupTable, group_charts, group_results, group_tables
from portraitist.studies.report.sheets import variant_sheet
from portraitist.studies.report.statistics import can_decide, is_known, is_noise
from portraitist.studies.report.tables import NONE, Entry, metric_head, score_entry
from portraitist.studies.runs.scoring import MetricInfo
from portraitist.studies.runs.table import RunTable
from portraitist.units import in_bytes, in_time

_LABELLED = 120  # characters of names a scatter has room for; where variants have more, it shows their numbers
_CURVES = 8  # variants up to this number have training curves
_MATRIX = 12  # variants up to this number have a table of win rates
_PALETTE = 8


@dataclass(frozen=True)
class Column:
    """A table's column."""

    label: str
    meaning: str = ""


@dataclass(frozen=True)
class Line:
    """A table's row; a reference has no number and no colour."""

    number: int | None
    label: str
    colour: int | None
    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class Effects:
    """Paired differences: what of in words, the metrics, and per method a cell for each."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Entry, ...]], ...]


@dataclass(frozen=True)
class ReportSection:
    """What is shown of a grid."""

    name: str
    question: str
    findings: tuple[str, ...]
    columns: tuple[Column, ...]
    lines: tuple[Line, ...]
    charts: tuple[Chart, ...]
    legend: tuple[tuple[int, str], ...]
    numbered: bool
    robustness: tuple[tuple[str, ...], tuple[tuple[str, tuple[str, ...]], ...]] | None
    effects: Effects | None
    groups: tuple[GroupTable, ...]
    wins: tuple[str, tuple[tuple[str, tuple[str, ...]], ...]] | None
    pictures: tuple[PictureGrid, ...]
    sheet: Image.Image | None


def build_sections(result: StudyResult) -> list[ReportSection]:
    """Gather what is shown of every grid; a method has the same colour in all of them."""
    methods = dict.fromkeys(method for grid in result.grids for method in grid.grid.methods)
    colours = {method: index % _PALETTE for index, method in enumerate(methods)}
    groups = result.prepared.study.prompt_groups
    return [_section(grid, colours, groups, result.prepared.table) for grid in result.grids]


def _section(
    result: GridResult, colours: Mapping[str, int], groups: Mapping[str, tuple[str, ...]], table: RunTable
) -> ReportSection:
    by_group = group_results(result, groups) if result.axis is None else {}  # where a setting is what is looked at
    leading = [metric for metric in (result.first("subject"), result.first("prompt")) if metric is not None]
    numbered = sum(len(result.label(variant)) for variant in result.finished) > _LABELLED
    return ReportSection(
        name=result.grid.name,
        question=result.grid.question,
        findings=tuple(grid_findings(result)),
        columns=_columns(result),
        lines=(
            *(
                Line(number, result.label(variant), colours[variant.method], _entries(result, variant))
                for number, variant in enumerate(result.variants, 1)
            ),
            *(Line(None, REFERENCES[variant.method], None, _entries(result, variant)) for variant in result.references),
        ),
        charts=(
            *_charts(result, colours, numbered),
            *group_charts(by_group, leading, _variant_colours(result, colours)),
        ),
        legend=tuple((colours[method], method) for method in dict.fromkeys(result.grid.methods)),
        numbered=numbered and result.axis is None,
        robustness=_robustness(result),
        effects=_effects(result),
        groups=group_tables(by_group, leading),
        wins=_wins(result),
        pictures=tuple(picture_grids(result, table)),
        sheet=variant_sheet(result, table),
    )


def _columns(result: GridResult) -> tuple[Column, ...]:
    scores = [Column(metric_head(metric), metric.meaning) for metric in result.metrics]
    subject = result.first("subject")
    share = f"Training time until a run has made 95 % of its gain in {subject.label}" if subject else ""
    share += ", measured from the untrained base." if subject and result.starts(subject) else "."
    rival = result.grid.against
    way = f"Step at which the run scores as {rival} does at its end, and the training time until then."
    return (
        *scores,
        Column("Parameters", "How many the adapter has."),
        Column("File", "Size of the adapter file."),
        *([Column("Steps", "Optimiser steps.")] if _shows_steps(result) else []),
        Column("Training time", "Time spent in training steps."),
        *([Column("Time to 95 %", share)] if _has_curves(result) else []),
        *([Column(f"As good as {rival}", way)] if _has_way(result) else []),
        Column("Runs", "Finished runs, of those planned."),
    )


def _entries(result: GridResult, variant: VariantResult) -> tuple[Entry, ...]:
    entries = [score_entry(result, variant, metric) for metric in result.metrics]
    entries.append(
        Entry(NONE) if variant.parameters is None else Entry(f"{variant.parameters:,}", sort=variant.parameters)
    )
    entries.append(
        Entry(NONE) if variant.file_bytes is None else Entry(in_bytes(variant.file_bytes), sort=variant.file_bytes)
    )
    if _shows_steps(result):
        entries.append(Entry(NONE) if variant.steps is None else Entry(f"{variant.steps:,}", sort=variant.steps))
    entries.append(_time_entry(variant.seconds))
    subject = result.first("subject")
    if _has_curves(result):
        entries.append(_time_entry(variant.seconds_to_best(subject, result.starts(subject)) if subject else None))
    if _has_way(result) and subject is not None:
        entries.append(_way_entry(result, variant, subject))
    remarks = [f"{len(variant.failures)} failed"] if variant.failures else []
    remarks += [] if variant.compared or not variant.runs else ["not compared"]
    entries.append(Entry(f"{variant.done}/{variant.planned}", ", ".join(remarks), sort=variant.done))
    return tuple(entries)


def _time_entry(interval: Interval | None) -> Entry:
    if interval is None:
        return Entry(NONE)
    return Entry(in_time(interval.mean), sort=interval.mean)


def _way_entry(result: GridResult, variant: VariantResult, metric: MetricInfo) -> Entry:
    """Say at which step, and when, a variant is as good as the rival in the end."""
    if not variant.curve(metric.name):
        return Entry(NONE)
    found = result.way_to_rival(variant, metric)
    if found is None:
        return Entry("never")
    return Entry(f"step {found.step:.0f}", in_time(found.seconds), found.step)


def _shows_steps(result: GridResult) -> bool:
    """Say whether arms are compared, whose steps may differ."""
    return bool(result.grid.arms) and any(variant.steps is not None for variant in result.variants)


def _has_way(result: GridResult) -> bool:
    subject = result.first("subject")
    return result.rival is not None and subject is not None and bool(result.rival.curve(subject.name))


def _has_curves(result: GridResult) -> bool:
    return any(run.curve for variant in result.variants for run in variant.runs.values())


def _charts(result: GridResult, colours: Mapping[str, int], numbered: bool) -> list[Chart]:
    subject, prompt = result.first("subject"), result.first("prompt")
    if not result.finished:
        return []
    if result.axis is not None:
        shown = [metric for metric in (subject, prompt, result.first("drift")) if metric is not None]
        found = [_axis_chart(result, metric, colours) for metric in shown]
        return [chart for chart in found if chart is not None]
    charts = []
    if subject is not None and prompt is not None and len(result.finished) > 1:
        charts.append(_scatter(result, subject, prompt, colours, numbered))
    if subject is not None and _has_curves(result) and len(result.finished) <= _CURVES:
        charts.append(_training_chart(result, subject, colours))
    return charts


def _scatter(
    result: GridResult, subject: MetricInfo, prompt: MetricInfo, colours: Mapping[str, int], numbered: bool
) -> Chart:
    front = result.front(prompt, subject)
    points = []
    for number, variant in enumerate(result.variants, 1):
        x, y = variant.interval(prompt.name), variant.interval(subject.name)
        if x is None or y is None:
            continue
        label = result.label(variant)
        points.append(
            Point(
                x.mean,
                y.mean,
                str(number) if numbered else label,
                f"{label}: {prompt.label} {in_words(x)}, {subject.label} {in_words(y)}",
                (x.low, x.high),
                (y.low, y.high),
                colours[variant.method],
                variant in front,
            )
        )
    return scatter(f"{subject.label} against {prompt.label}", prompt.label, subject.label, points)


def _training_chart(result: GridResult, metric: MetricInfo, colours: Mapping[str, int]) -> Chart:
    """Draw the mean scores during training."""
    own = _variant_colours(result, colours)
    series = [
        Series(
            result.label(variant),
            [
                Point(each.seconds, each.value, note=f"{in_time(each.seconds)}: {in_figures(each.value)}")
                for each in points
            ],
            own[result.label(variant)],
        )
        for variant in result.finished
        if (points := variant.curve(metric.name))
    ]
    return curves(f"{metric.label} during training", "seconds of training", _axis_label(metric), series)


def _variant_colours(result: GridResult, colours: Mapping[str, int]) -> dict[str, int]:
    """Return the colour of every finished variant by label: its method's where methods differ, else one of its own."""
    one_each = len({variant.method for variant in result.finished}) == len(result.finished)
    return {
        result.label(variant): colours[variant.method] if one_each else index % _PALETTE
        for index, variant in enumerate(result.finished)
    }


def _axis_chart(result: GridResult, metric: MetricInfo, colours: Mapping[str, int]) -> Chart | None:
    assert result.axis is not None
    words = setting_words(result.axis)
    series = [
        Series(
            method,
            [
                Point(value, each.mean, note=f"{method} at {value_words(value)}: {in_words(each)}", y_range=_ends(each))
                for value, scores in found.items()
                for each in [bootstrap_interval(list(scores.values()))]
            ],
            colours[method],
        )
        for method in dict.fromkeys(result.grid.methods)
        if (found := result.over_axis(method, metric))
    ]
    return curves(f"{metric.label} over {words}", words, _axis_label(metric), series) if series else None


def _axis_label(metric: MetricInfo) -> str:
    return metric.label if metric.higher_is_better else f"{metric.label} (lower is better)"


def _ends(interval: Interval) -> tuple[float, float] | None:
    return (interval.low, interval.high) if is_known(interval) else None


def _wins(result: GridResult) -> tuple[str, tuple[tuple[str, tuple[str, ...]], ...]] | None:
    """Return the name of the metric, and rows of win rates."""
    metric = result.first("subject")
    if metric is None or result.axis is not None or not 2 <= len(result.finished) <= _MATRIX:
        return None
    rates = result.wins(metric)
    rows = tuple(
        (result.label(variant), tuple("" if rate is None else f"{100 * rate:.0f} %" for rate in row))
        for variant, row in zip(result.finished, rates, strict=True)
    )
    return metric.label, rows


def _robustness(result: GridResult) -> tuple[tuple[str, ...], tuple[tuple[str, tuple[str, ...]], ...]] | None:
    """Return the heads of a table, and per method how far each score moves over the axis; None without an axis."""
    if result.axis is None:
        return None
    rows = []
    for method in dict.fromkeys(result.grid.methods):
        found = [result.robustness(method, metric) for metric in result.metrics]
        cells = [NONE if each is None else f"{in_figures(each.spread)}, {in_figures(each.deviation)}" for each in found]
        some = next((each for each in found if each is not None), None)
        if some is not None:
            failed = "; ".join(value_words(value) for value in some.failed) or "none"
            rows.append((method, (*cells, str(len(some.scores)), failed)))
    heads = (*(metric.label for metric in result.metrics), "Values", "Failed at")
    return (heads, tuple(rows)) if rows else None


def _effects(result: GridResult) -> Effects | None:
    """Return what a choice between two values changes, or how variants differ from a rival; None where neither is."""
    if result.rival is not None:
        title, found = f"Difference from {result.rival.label}", [result.differences(each) for each in result.metrics]
    elif result.choice is not None:
        title = f"The effect of {choice_words(result)}"
        found = [result.effects(metric) for metric in result.metrics]
    else:
        return None
    methods = [method for method in result.grid.methods if any(method in each for each in found)]
    if not methods:
        return None
    rows = tuple((method, tuple(_effect_entry(each.get(method)) for each in found)) for method in methods)
    return Effects(title, tuple(metric_head(metric) for metric in result.metrics), rows)


def _effect_entry(effect: Interval | None) -> Entry:
    if effect is None:
        return Entry(NONE)
    if not can_decide(effect):
        return Entry(f"{effect.mean:+.3f}")
    detail = f"{effect.low:+.3f} to {effect.high:+.3f}"
    return Entry(f"{effect.mean:+.3f}", detail, effect.mean, "near" if is_noise(effect) else "")
