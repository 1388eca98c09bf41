"""Scores by group of prompts: what a method can do with places, and what with clothes, as tables and charts."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import mean

from portraitist.studies.grid.variants import REFERENCES
from portraitist.studies.report.analysis import GridResult, VariantResult
from portraitist.studies.report.charts import Chart, Point, Series, by_group
from portraitist.studies.report.findings import in_words
from portraitist.studies.report.tables import Entry, metric_head, score_entry
from portraitist.studies.runs.scoring import MetricInfo
from portraitist.studies.runs.table import RunRecord

_CHARTED = 8  # variants up to this number have a chart


@dataclass(frozen=True)
class GroupTable:
    """A metric by group of prompts: its head, the groups, and per variant or reference a cell for each."""

    title: str
    groups: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Entry, ...]], ...]


def group_results(result: GridResult, groups: Mapping[str, Collection[str]]) -> dict[str, GridResult]:
    """Return by group what a grid comes to on the prompts of that group alone.

    Args:
        result: The grid.
        groups: Prompts by group.

    Returns:
        The groups of which there are scores; none where that is a single one.
    """
    found = {group: _of_prompts(result, prompts) for group, prompts in groups.items()}
    scored = {
        group: each
        for group, each in found.items()
        if any(run.scores for variant in each.variants for run in variant.runs.values())
    }
    return scored if len(scored) > 1 else {}


def _of_prompts(result: GridResult, prompts: Collection[str]) -> GridResult:
    def on_prompts(variant: VariantResult) -> VariantResult:
        runs = {key: _on_prompts(run, prompts) for key, run in variant.runs.items()}
        return replace(variant, runs=runs, of_set={})

    return replace(
        result,
        variants=tuple(map(on_prompts, result.variants)),
        references=tuple(map(on_prompts, result.references)),
    )


def _on_prompts(run: RunRecord, prompts: Collection[str]) -> RunRecord:
    """Return a run with the mean scores of some of its prompts."""
    scores = {}
    for name, values in run.prompt_scores.items():
        pairs = zip(run.spec["prompts"], values, strict=False)
        if chosen := [value for prompt, value in pairs if prompt in prompts]:
            scores[name] = mean(chosen)
    return replace(run, scores=scores)


def group_tables(results: Mapping[str, GridResult], metrics: Sequence[MetricInfo]) -> tuple[GroupTable, ...]:
    """Return a table of each metric that prompts have scores of.

    Args:
        results: What `group_results` returned.
        metrics: The metrics, those that lead first.
    """
    tables = []
    for metric in metrics:
        rows: dict[str, list[Entry]] = {}
        for result in results.values():
            for variant in (*result.variants, *result.references):
                name = REFERENCES.get(variant.method) or result.label(variant)
                rows.setdefault(name, []).append(score_entry(result, variant, metric))
        known = {name: tuple(entries) for name, entries in rows.items() if any(e.sort is not None for e in entries)}
        if known:
            tables.append(GroupTable(metric_head(metric), tuple(results), tuple(known.items())))
    return tuple(tables)


def group_charts(
    results: Mapping[str, GridResult], metrics: Sequence[MetricInfo], colours: Mapping[str, int]
) -> list[Chart]:
    """Draw each metric by group: a dot with its interval for every variant, where there are not too many of them.

    Args:
        results: What `group_results` returned.
        metrics: The metrics.
        colours: Colours of variants, by name.
    """
    charts = []
    for metric in metrics:
        points: dict[str, list[Point]] = {}
        for group, result in results.items():
            for variant in result.finished:
                interval, label = variant.interval(metric.name), result.label(variant)
                if interval is not None:
                    note = f"{label}, {group}: {metric.label} {in_words(interval)}"
                    ends = (interval.low, interval.high)
                    points.setdefault(label, []).append(Point(0, interval.mean, group, note, y_range=ends))
        if points and len(points) <= _CHARTED:
            series = [Series(label, own, colours[label]) for label, own in points.items()]
            charts.append(by_group(f"{metric.label} by group of prompts", metric.label, tuple(results), series))
    return charts
