"""Cells and heads of the report's tables."""

from dataclasses import dataclass

from portraitist.studies.report.analysis import GridResult, VariantResult
from portraitist.studies.report.findings import in_figures
from portraitist.studies.report.statistics import is_known
from portraitist.studies.runs.scoring import MetricInfo

NONE = "-"


@dataclass(frozen=True)
class Entry:
    """A table's cell: words, the number it is sorted by, and how it stands to the best of its column."""

    text: str
    detail: str = ""
    sort: float | None = None
    standing: str = ""


def metric_head(metric: MetricInfo) -> str:
    """Return a metric's column head, with an arrow to where it is better."""
    return f"{metric.label} {'↑' if metric.higher_is_better else '↓'}"


def score_entry(result: GridResult, variant: VariantResult, metric: MetricInfo) -> Entry:
    """Return a variant's mean of a metric with its interval, marked if it is the best, or within noise of it."""
    interval = variant.interval(metric.name)
    if interval is None:
        return Entry(NONE)
    best = result.best(metric)
    standing = ""
    if best is not None and len(result.compared) > 1 and variant in result.compared:
        near = best is not variant and result.within_noise(variant, best, metric)
        standing = "best" if best is variant else "near" if near else ""
    detail = f"{in_figures(interval.low)} to {in_figures(interval.high)}" if is_known(interval) else ""
    return Entry(in_figures(interval.mean), detail, interval.mean, standing)
