"""The answer first: sentences computed from the results."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from portraitist.evaluation.statistics import Interval
from portraitist.studies.grid.variants import PHOTOS_THEMSELVES, UNTRAINED_BASE
from portraitist.studies.grid.words import setting_words, value_words
from portraitist.studies.report.analysis import GridResult, StudyResult
from portraitist.studies.report.robustness import KEPT, Robustness, steadiest
from portraitist.studies.report.statistics import FEWEST_SUBJECTS, can_decide, is_known, is_noise
from portraitist.studies.runs.scoring import Aspect, MetricInfo

# A smaller adapter is worth a sentence from this factor on.
_WORTH_SAYING = 1.5
_MOST_NAMED = 4
_COMPARED: tuple[Aspect, ...] = ("subject", "prompt")
_ASIDE: tuple[Aspect, ...] = ("drift", "diversity", "quality")


def in_figures(value: float) -> str:
    """Return a score: ``0.742``, ``12.3``."""
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}"


def in_words(interval: Interval, figures: Callable[[float], str] = in_figures, unit: str = "") -> str:
    """Return a mean with its unit and interval: ``0.742 (0.701 to 0.781)``."""
    mean = f"{figures(interval.mean)}{unit}"
    return f"{mean} ({figures(interval.low)} to {figures(interval.high)})" if is_known(interval) else mean


def answer(result: StudyResult) -> list[str]:
    """Return the study's findings: those of its first grid with runs, and of each other grid what leads there."""
    begun = [grid for grid in result.grids if grid.finished]
    if not begun:
        return ["No run of this study is finished yet."]
    first, *others = begun
    lines = grid_findings(first) or [f"So far only {first.finished[0].label} has finished a run."]
    leads = [(grid, found[0]) for grid in others if (found := grid_findings(grid))]
    return lines + [f"{grid.grid.name}: {lead}" for grid, lead in leads]


def terms(grid: GridResult | None) -> list[tuple[str, str]]:
    """Explain what findings name: each aspect's first metric, and noise."""
    if grid is None:
        return []
    metrics = [grid.first(aspect) for aspect in (*_COMPARED, *_ASIDE)]
    found = [(metric.label, metric.meaning) for metric in metrics if metric is not None and metric.meaning]
    noise = "The 95 % interval of the difference, subject by subject, includes zero."
    return [*found, ("Within noise", noise)] if grid.can_decide else found


def grid_findings(grid: GridResult) -> list[str]:
    """Return what a grid shows, one sentence each, the most wanted first."""
    if len(grid.compared) < 2:
        return []
    if grid.axis is not None:
        return _over_axis(grid)
    lines = _against(grid) or _effects(grid)
    aside = [] if lines else [line for aspect in _ASIDE for line in _aside(grid, grid.first(aspect))]
    lines += [line for aspect in _COMPARED for line in _best(grid, grid.first(aspect))]
    lines += _span(grid)
    if not grid.can_decide:
        return lines
    return lines + _smallest(grid) + _front(grid) + aside


def caveats(result: StudyResult, grid: GridResult | None) -> list[str]:
    """Return what a reader must know before believing the findings."""
    lines = []
    missing = result.planned - result.done - len(result.failures)
    if missing:
        lines.append(f"The study is not finished: {missing} of {result.planned} runs are still to be made.")
    if result.failures:
        lines.append(f"{len(result.failures)} of {result.planned} runs failed; the end of the report says why.")
    for variant in [
        variant for grid in result.grids for variant in grid.finished if not variant.compared and len(grid.finished) > 1
    ]:
        lines.append(
            f"{variant.label} has only {_count(variant.done, 'finished run')}, so it is not compared with the others."
        )
    lines += _prejudiced(result)
    if grid is not None and grid.subjects and not grid.can_decide:
        number = _count(len(grid.subjects), "subject")
        lines.append(f"With {number}, no difference can be told from noise; that takes {FEWEST_SUBJECTS} or more.")
    return lines


def _prejudiced(result: StudyResult) -> list[str]:
    """Name the encoders that judge pictures and that a compared network sees photos with."""
    seen = {encoder for run in result.runs.values() for encoder in run.spec["recipe"].get("sees", ())}
    judges = result.prepared.scorer.identity()
    both = sorted(role for role, encoder in judges.items() if str(encoder) in seen)
    if not both:
        return []
    return [
        f"Networks see photos with the encoders that judge as {_list(both)}: what these say of the networks' adapters"
        " proves little."
    ]


def _effects(grid: GridResult) -> list[str]:
    """Say what the second of two values does to each aspect's first metric, the clearest effect first.

    Only the first sentence names the two values; the others go on from it.
    """
    metrics = [metric for aspect in (*_COMPARED, *_ASIDE) if (metric := grid.first(aspect)) is not None]
    found = [(metric, effects) for metric in metrics if (effects := grid.effects(metric))]
    ranked = sorted(found, key=lambda pair: -max(map(_clearness, pair[1].values())))
    words = [_effect_words(metric, effects) for metric, effects in ranked]
    return [f"{_capital(choice_words(grid))}: {line}" for line in words[:1]] + words[1:]


def _against(grid: GridResult) -> list[str]:
    """Say how each variant stands to the rival, at the subject and at prompts."""
    lines = []
    for metric in [each for aspect in _COMPARED if (each := grid.first(aspect)) is not None]:
        found = sorted(grid.differences(metric).items(), key=lambda pair: -pair[1].mean)
        if not found:
            continue
        words = "; ".join(f"{method} {_difference_words(difference)}" for method, difference in found)
        lines.append(f"{metric.label} against {grid.grid.against} ({_direction(metric)}): {words}.")
    return lines


def _difference_words(difference: Interval) -> str:
    if not can_decide(difference):
        return f"{difference.mean:+.3f}"
    noise = ", within noise" if is_noise(difference) else ""
    return f"{difference.mean:+.3f} ({difference.low:+.3f} to {difference.high:+.3f}{noise})"


def _clearness(effect: Interval) -> float:
    """Return how large an effect is against its interval, so that metrics of different scales can be ranked."""
    return abs(effect.mean) / ((effect.high - effect.low) or 1.0)


def _effect_words(metric: MetricInfo, effects: Mapping[str, Interval]) -> str:
    """Say what a choice does to a metric, method by method, the largest effect first."""
    ranked = sorted(effects.items(), key=lambda pair: -abs(pair[1].mean))
    ups = {effect.mean > 0 for effect in effects.values()}
    verb = "changes by" if len(ups) > 1 else "rises by" if True in ups else "falls by"
    sizes = [f"{e.mean:+.3f}" if len(ups) > 1 else f"{abs(e.mean):.3f}" for _, e in ranked]
    amounts = _list([f"{size} with {method}" for size, (method, _) in zip(sizes, ranked, strict=True)])
    line = f"{metric.label} {verb} {amounts} ({_direction(metric)})"
    if not all(can_decide(effect) for effect in effects.values()):
        return f"{line}."
    noise = [method for method, effect in ranked if is_noise(effect)]
    if noise and len(noise) < len(ranked):
        return f"{line}. With {_list(noise)} this is within noise."
    whole = "All of these are" if len(ranked) > 1 else "This is"
    return f"{line}. {whole} {'within' if noise else 'larger than'} noise."


def choice_words(grid: GridResult) -> str:
    """Return words for the choice between two values: ``learning rate 0.1 instead of 0.01``, or their names."""
    assert grid.choice is not None
    setting, one, other = grid.choice
    words = f"{grid.grid.value_words(setting, other)} instead of {grid.grid.value_words(setting, one)}"
    return words if grid.grid.is_named(setting, other) else f"{setting_words(setting)} {words}"


def _best(grid: GridResult, metric: MetricInfo | None) -> list[str]:
    """Say who is best at a metric, by how much, and who is within noise of it."""
    best = grid.best(metric) if metric else None
    if metric is None or best is None:
        return []
    interval = best.interval(metric.name)
    assert interval is not None
    line = (
        f"{_capital(_subjects(interval.count))}, {best.label} is best on {_lower(metric.label)}: {in_words(interval)}"
    )
    if not can_decide(interval):
        return [f"{line}."]
    others = [variant for variant in grid.compared if variant is not best]
    standings = {variant.label: grid.standing(variant, best, metric) for variant in others}
    near = [label for label, standing in standings.items() if standing == "near"]
    if near and len(near) == len(others):
        return [f"{line}, but every other variant is within noise of it, so there is no winner."]
    if near:
        return [f"{line}. Within noise of it: {_list(near)}."]
    if all(standing == "behind" for standing in standings.values()):
        return [f"{line}, ahead of every other variant by more than noise."]
    return [f"{line}."]


def _span(grid: GridResult) -> list[str]:
    """Say how far the best variant at the subject comes from the untrained base towards the photos themselves."""
    metric = grid.first("subject")
    best = grid.best(metric) if metric else None
    if metric is None or best is None:
        return []
    intervals = {each.method: each.interval(metric.name) for each in (*grid.references, best)}
    photos, base = intervals.get(PHOTOS_THEMSELVES), intervals.get(UNTRAINED_BASE)
    reached = intervals[best.method]
    if photos is None or base is None or reached is None:
        return []
    line = f"{_capital(_lower(metric.label))} is {in_figures(base.mean)} for the untrained base"
    line += f" and {in_figures(photos.mean)} between the subject's real photos"
    if photos.mean <= base.mean:
        return [f"{line}."]
    share = (reached.mean - base.mean) / (photos.mean - base.mean)
    if round(100 * share) < 1:
        return [f"{line}; no variant comes closer to the photos than the base."]
    return [f"{line}; {best.label} closes {100 * share:.0f} % of that gap."]


def _smallest(grid: GridResult) -> list[str]:
    """Name the smallest variant within noise of the best at the subject, better one that is not behind at prompts."""
    subject, prompt = grid.first("subject"), grid.first("prompt")
    best = grid.best(subject) if subject else None
    if subject is None or best is None or not best.file_bytes:
        return []
    near = [
        variant
        for variant in grid.compared
        if variant is not best and variant.file_bytes and grid.within_noise(variant, best, subject)
    ]
    keeping = [variant for variant in near if prompt is None or grid.no_clear_loss(variant, best, prompt)]
    losing = [variant for variant in near if prompt is not None and grid.no_clear_loss(best, variant, prompt)]
    smallest = min(keeping or losing, key=lambda variant: variant.file_bytes or 0, default=None)
    if smallest is None or not smallest.file_bytes or best.file_bytes / smallest.file_bytes < _WORTH_SAYING:
        return []
    line = f"The file of {smallest.label} is {_factor(best.file_bytes / smallest.file_bytes)} smaller than that of"
    line += f" {best.label}; on {_lower(subject.label)} the two are within noise of each other"
    if prompt is None:
        return [f"{line}."]
    if keeping:
        return [f"{line}, and on {_lower(prompt.label)} there is no clear loss."]
    means = [each.mean for variant in (smallest, best) if (each := variant.interval(prompt.name)) is not None]
    return [f"{line}, but on {_lower(prompt.label)} it is behind: {' against '.join(map(in_figures, means))}."]


def _front(grid: GridResult) -> list[str]:
    subject, prompt = grid.first("subject"), grid.first("prompt")
    if subject is None or prompt is None:
        return []
    front = grid.front(subject, prompt)
    if not 1 < len(front) < len(grid.compared):  # one alone is best on both, which has been said
        return []
    many = len(front) > _MOST_NAMED
    who = f"{len(front)} of {len(grid.compared)} variants" if many else _list([variant.label for variant in front])
    names = f"{_lower(subject.label)} and {_lower(prompt.label)}"
    return [f"{who} are the best trade-offs between {names}; each of the rest is beaten on both by one of them."]


def _aside(grid: GridResult, metric: MetricInfo | None) -> list[str]:
    """Say how far apart the variants are at a metric that does not decide."""
    best = grid.best(metric) if metric else None
    if metric is None or best is None:
        return []
    sign = 1 if metric.higher_is_better else -1
    known = [(variant, each) for variant in grid.compared if (each := variant.interval(metric.name)) is not None]
    worst, interval = min(known, key=lambda pair: sign * pair[1].mean)
    top = best.interval(metric.name)
    assert top is not None
    if worst is best or all(grid.within_noise(variant, best, metric) for variant, _ in known if variant is not best):
        return [] if worst is best else [f"{metric.label}: no difference is larger than noise."]
    ends = f"from {in_words(top)} with {best.label} to {in_words(interval)} with {worst.label}"
    return [f"{metric.label} ({_direction(metric)}) ranges {ends}."]


def _direction(metric: MetricInfo) -> str:
    return f"{'higher' if metric.higher_is_better else 'lower'} is better"


def _over_axis(grid: GridResult) -> list[str]:
    """Say at which value each method is best, and how much its scores move over the setting."""
    assert grid.axis is not None
    lines = []
    words = setting_words(grid.axis)
    for metric in [m for aspect in _COMPARED if (m := grid.first(aspect)) is not None]:
        found = [each for method in grid.grid.methods if (each := grid.robustness(method, metric)) is not None]
        if not found:
            continue
        ranked = sorted(found, key=lambda each: each.spread)
        same = len({len(each.scores) for each in ranked}) == 1
        lead = f"{metric.label} over {_count(len(ranked[0].scores), 'value') if same else 'the values'} of {words}"
        least = steadiest(found)
        lead += f" varies least with {least.method}" if least else ""
        lines.append(f"{lead}: {'; '.join(_robustness_words(each, same) for each in ranked)}.")
    return lines


def _robustness_words(each: Robustness, same: bool) -> str:
    over = "" if same else f" over {_count(len(each.scores), 'value')}"
    kept = f" and at least {100 * KEPT:.0f} % of that {_between(*each.kept)}" if each.kept else ""
    failed = f", but runs failed at {_list([value_words(value) for value in each.failed])}" if each.failed else ""
    return (
        f"{each.method} scores {in_figures(each.lowest)} to {in_figures(each.highest)}{over}"
        f" (standard deviation {in_figures(each.deviation)}), the best at {value_words(each.best_value)}{kept}{failed}"
    )


def _between(low: Any, high: Any) -> str:
    return "nowhere else" if low == high else f"from {value_words(low)} to {value_words(high)}"


def _factor(ratio: float) -> str:
    return f"{ratio:.0f} times" if ratio >= 3 else f"{ratio:.1f} times"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _subjects(number: int) -> str:
    return "on the only subject" if number == 1 else f"across {number} subjects"


def _list(names: Sequence[str]) -> str:
    if len(names) > _MOST_NAMED:
        return f"{', '.join(names[:_MOST_NAMED])} and {len(names) - _MOST_NAMED} more"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]


def _lower(label: str) -> str:
    """Return a label inside a sentence; names such as CLIP-T and Face Sim keep their capitals."""
    return label if sum(map(str.isupper, label)) > 1 else label.lower()
