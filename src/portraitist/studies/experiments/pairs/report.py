"""The report on two subjects in one picture: tables with intervals, and a grid of pictures."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean

from PIL import Image

from portraitist.evaluation.statistics import Interval, bootstrap_interval, paired_difference
from portraitist.files import write_aside
from portraitist.generation import SheetRow, contact_sheet
from portraitist.markdown import table
from portraitist.photos import PAGE_SUFFIX, encode_for_page
from portraitist.studies.experiments.pairs.identities import draw_pairs, photos_of
from portraitist.studies.experiments.pairs.judging import VERDICTS
from portraitist.studies.experiments.pairs.results import PairResult, PairStudyFolder
from portraitist.studies.experiments.pairs.study import METHODS, PHOTOS, PROMPTS, TOKENS, UNTRAINED, WAYS
from portraitist.studies.grid.variants import UNTRAINED_BASE
from portraitist.studies.report.findings import in_words
from portraitist.studies.report.statistics import FEWEST_SUBJECTS, can_decide

_MEANINGS = {
    "both": "both are there, each as itself, on the sides the prompt names",
    "swapped": "both are there, but on each other's sides",
    "blended": "one half resembles a mixture of the two more than either of them",
    "twice": "one of them is there twice",
    "replaced": "one of them is there, beside somebody who does not resemble the other enough",
    "alone": "only one of them is there, and nobody else",
    "neither": "neither is there",
}
_GROUPS: dict[str, Callable[[PairResult], bool]] = {
    "all pairs": lambda row: True,
    "same class": lambda row: row.same_class,
    "two classes": lambda row: not row.same_class,
}
# Of pairs, without all of them.
_SORTS = ("same class", "two classes")
_GRADES: dict[str, Callable[[PairResult], float]] = {
    "likeness": lambda row: fmean(row.likeness),
    "separation": lambda row: fmean(row.separation),
}
_SHOWN_PROMPTS = 6
_percent = partial(in_words, figures="{:.0%}".format)
_cosine = partial(in_words, figures="{:.2f}".format)
_signed = partial(in_words, figures="{:+.2f}".format)
_points = partial(in_words, figures=lambda share: f"{100 * share:+.0f}", unit=" points")


def write_report(store: PairStudyFolder, page: Path) -> tuple[Path, Path]:
    """Write a page and the picture beside it; return both paths."""
    rows = store.results()
    picture = page.with_suffix(PAGE_SUFFIX)
    with write_aside(picture) as temporary:
        temporary.write_bytes(encode_for_page(draw_grid(store, rows)))
    with write_aside(page) as temporary:
        temporary.write_text(render_report(store.facts, rows, picture.name))
    return page, picture


def render_report(facts: Mapping[str, object], rows: Sequence[PairResult], picture: str) -> str:
    """Return the page as Markdown."""
    count = len({row.pair for row in rows})
    base, pictures = facts["base"], facts["pictures"]
    assert isinstance(base, Mapping)
    assert isinstance(pictures, Mapping)
    gains = table(["method", "way", *_GROUPS, *(f"separation, {group}" for group in _SORTS)], _gain_rows(rows))
    judges = [row.judge for row in {row.pair: row for row in rows}.values()]
    right, collages, one, two = (
        _percent(bootstrap_interval([getattr(judge, name) for judge in judges]))
        for name in ("renders", "collages", "one_stranger", "two_strangers")
    )
    parts = [
        "# Two subjects in one picture",
        f"Base `{base['name']}` ({base['fingerprint']}). {count} pairs of subjects that the base has never seen,"
        f" {len({row.pair for row in rows if row.same_class})} of them with both of one class; {PHOTOS} photos of"
        f" each; {len(set(_prompts(rows, pictures)))} prompts with {pictures['seeds']} seeds each,"
        f" {pictures['steps']} denoiser steps per picture. Intervals are 95 % bootstrap intervals over pairs. Written"
        " by `portraitist toyland pairs`.",
        f"Every way trains on the same number of samples of each subject ({_samples(facts)}); a collage counts as"
        " half a sample of each of its two. Teaching both together therefore takes twice the steps of teaching one"
        " alone.",
        f"A picture counts if {_MEANINGS['both']}. Each half is taken for what it resembles most: the first"
        " subject, the second, a mixture of both, a stranger of their classes, or nobody. To be taken for one of the"
        " pair it must also resemble them more than 95 % of strangers' halves do, or as much as 95 % of their own."
        " How far this can be trusted is measured on drawn pictures that have passed through the autoencoder. Of"
        f" pictures of the true pairs it accepts {right} where the two are drawn together (no method can be expected"
        f" to do better) and {collages} in collages; wrongly it accepts {one} of pictures of one of them with a"
        f" stranger, and {two} of two strangers.",
        "\n".join(_findings(rows)),
        "## Share of pictures that show both, each as itself",
        table(
            ["method", "way", *_GROUPS, "pairs", "training, s"],
            [_share_row(method, way, chosen) for method, way, chosen in _by_way(rows)],
        ),
        "## What the other pictures show",
        table(
            ["method", "way", "pairs", *VERDICTS[1:]],
            [line for method, way, chosen in _by_way(rows) for line in _failure_rows(method, way, chosen)],
        ),
        "\n".join(f"- *{verdict}*: {_MEANINGS[verdict]}" for verdict in VERDICTS[1:]),
        *(["## Gain over joint training without collages, on the same pairs", gains] if gains else []),
        "## Likeness and separation",
        "Where few pictures show both, shares hardly tell the ways apart; these two scores do better. *Likeness* is the"
        " mean cosine similarity of each half to pictures of the subject that should be there. *Separation* is how much"
        " larger that is than the similarity to the other subject: about zero where both halves show the same, be it"
        " one of them or a mixture.",
        table(
            ["method", "way", *(f"{name}, {group}" for name in _GRADES for group in _SORTS)],
            [
                *(_graded_row(method, way, chosen) for method, way, chosen in _by_way(rows)),
                ["drawn pictures of the pair", "", *_truth_cells(rows)],
            ],
        ),
        f"![For one pair of each sort, photos of both and pictures of every method and way]({picture})",
    ]
    return "\n\n".join(parts) + "\n"


def draw_grid(store: PairStudyFolder, rows: Sequence[PairResult]) -> Image.Image:
    """Draw, for one pair of each sort, the photos and then a row of pictures for each method and way."""
    sheets: list[SheetRow] = []
    pairs = draw_pairs(max(row.pair for row in rows) + 1, int(store.facts["seed"]), store.facts["split"])
    for wanted in (True, False):
        numbers = [row.pair for row in rows if row.same_class is wanted]
        if not numbers:
            continue
        number = min(numbers)
        chosen = [row for row in rows if row.pair == number]
        size = store.pictures(chosen[0])[0].width
        for who, token in zip((pairs[number].first, pairs[number].second), TOKENS, strict=True):
            photos = photos_of(who, PHOTOS, size, int(store.facts["seed"]))
            sheets.append(SheetRow(f"{token} {who.kind}: photos", photos))
        for method, way, (row,) in _by_way(chosen):
            of_first_seed = store.pictures(row)[:: store.facts["pictures"]["seeds"]]
            label = f"{method}, {way}: {row.share:.0%}, separation {_GRADES['separation'](row):.2f}"
            sheets.append(SheetRow(label, of_first_seed[:_SHOWN_PROMPTS]))
    return contact_sheet(sheets, title="Two subjects in one picture", tile=96)


def _by_way(rows: Sequence[PairResult]) -> list[tuple[str, str, list[PairResult]]]:
    """Return (method, way, rows) in the order of the report."""
    methods = [*METHODS, *sorted({row.method for row in rows} - {*METHODS, UNTRAINED_BASE}), UNTRAINED_BASE]
    ways = (*WAYS, UNTRAINED)
    found = [(m, w, [row for row in rows if (row.method, row.way) == (m, w)]) for m in methods for w in ways]
    return [each for each in found if each[2]]


def _findings(rows: Sequence[PairResult]) -> list[str]:
    """Say, method by method, which way is best, which cannot be told from it, and what it adds to joint training."""
    lines = []
    for method in dict.fromkeys(method for method, _, _ in _by_way(rows) if method != UNTRAINED_BASE):
        ways = {way: found for name, way, found in _by_way(rows) if name == method}
        shares = {way: {row.name: row.share for row in found} for way, found in ways.items()}
        apart = {way: {row.name: _GRADES["separation"](row) for row in found} for way, found in ways.items()}
        lines += [
            f"- {method}: most pictures of both come from {_best_way(shares, _percent, _points)}",
            f"- {method}: the two are told apart best with {_best_way(apart, _cosine, _signed)}",
        ]
    return lines


def _best_way(
    values: Mapping[str, Mapping[str, float]], shown: Callable[[Interval], str], difference: Callable[[Interval], str]
) -> str:
    """Return what is to be said of the best way, from each way's values by pair."""
    best = max(values, key=lambda way: fmean(values[way].values()))
    interval = bootstrap_interval(list(values[best].values()))
    line = f"{best}, {shown(interval)}."
    differences = {way: paired_difference(values[best], other) for way, other in values.items() if way != best}
    near = [way for way, gain in differences.items() if gain is not None and gain.low <= 0]
    if not can_decide(interval):
        line += f" With {interval.count} pairs, no difference can be told from noise;"
        line += f" that takes {FEWEST_SUBJECTS} or more."
    elif near:
        line += f" Within noise of it: {', '.join(near)}."
    if (gain := differences.get("joint")) is not None:
        line += f" Gain over joint training without collages: {difference(gain)}."
    return line


def _share_row(method: str, way: str, rows: Sequence[PairResult]) -> list[str]:
    shares = [[row.share for row in rows if belongs(row)] for belongs in _GROUPS.values()]
    cells = [_percent(bootstrap_interval(share)) if share else "" for share in shares]
    return [method, way, *cells, str(len(rows)), f"{sum(row.seconds for row in rows) / len(rows):.0f}"]


def _failure_rows(method: str, way: str, rows: Sequence[PairResult]) -> list[list[str]]:
    """Return a line for the pairs of one class and one for the others."""
    lines = []
    for group in _SORTS:
        verdicts = [verdict for row in rows if _GROUPS[group](row) for verdict in row.verdicts]
        if verdicts:
            lines.append([method, way, group, *(f"{verdicts.count(v) / len(verdicts):.0%}" for v in VERDICTS[1:])])
    return lines


def _graded_row(method: str, way: str, rows: Sequence[PairResult]) -> list[str]:
    grades = [[grade(row) for row in rows if _GROUPS[group](row)] for grade in _GRADES.values() for group in _SORTS]
    return [method, way, *(_cosine(bootstrap_interval(each)) if each else "" for each in grades)]


def _truth_cells(rows: Sequence[PairResult]) -> list[str]:
    """Return likeness and separation of drawn pictures of the pairs."""
    judges = {row.pair: row for row in rows}.values()
    chosen = [[row.judge for row in judges if _GROUPS[group](row)] for group in _SORTS]
    return [
        _cosine(bootstrap_interval([getattr(judge, name) for judge in each])) if each else ""
        for name in _GRADES
        for each in chosen
    ]


def _gain_rows(rows: Sequence[PairResult]) -> list[list[str]]:
    """Return what ways add to joint training: to the share of pictures, and to how far apart subjects are."""
    found = []
    for method, way, chosen in _by_way(rows):
        joint = [row for row in rows if (row.method, row.way) == (method, "joint")]
        if way == "joint" or not joint:
            continue
        shares = [_gain(chosen, joint, lambda row: row.share, group) for group in _GROUPS]
        separations = [_gain(chosen, joint, _GRADES["separation"], group) for group in _SORTS]
        found.append(
            [
                method,
                way,
                *("" if gain is None else _points(gain) for gain in shares),
                *("" if gain is None else _signed(gain) for gain in separations),
            ]
        )
    return found


def _gain(
    ours: Sequence[PairResult], theirs: Sequence[PairResult], value: Callable[[PairResult], float], group: str
) -> Interval | None:
    """Return the mean difference on the pairs of a group that both have."""
    values = ({row.name: value(row) for row in rows if _GROUPS[group](row)} for rows in (ours, theirs))
    return paired_difference(*values)


def _samples(facts: Mapping[str, object]) -> str:
    """Return how many samples of each subject every method takes, in words."""
    found = []
    for name, recipe in facts.items():
        if name.startswith("recipe of ") and isinstance(recipe, Mapping):
            count = recipe["steps"] * recipe["batch_size"] * recipe["accumulate"]
            found.append(f"{count} with {name.removeprefix('recipe of ')}")
    return ", ".join(found)


def _prompts(rows: Sequence[PairResult], pictures: Mapping[str, int]) -> Sequence[object]:
    return PROMPTS[: len(rows[0].verdicts) // pictures["seeds"]]
