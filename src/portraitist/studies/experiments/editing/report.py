"""The report of an editing study: a table of scores with intervals, the kinds apart, and a grid of pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from portraitist.errors import BadConfig
from portraitist.evaluation.encoders import Encoder
from portraitist.evaluation.statistics import Interval, bootstrap_interval, paired_difference
from portraitist.files import write_aside
from portraitist.generation.sheets import caption_sheet
from portraitist.markdown import table
from portraitist.photos import PAGE_SUFFIX, encode_for_page
from portraitist.studies.experiments.editing.edits import KINDS_OF_EDIT, KnownEdit
from portraitist.studies.experiments.editing.scores import EditScores, score_edits
from portraitist.studies.experiments.editing.study import NOTHING, EditingStudy
from portraitist.studies.report.statistics import FEWEST_SUBJECTS, can_decide, is_noise
from portraitist.toyland.judges.examiner import Examiner
from portraitist.toyland.judges.restoring import restore_images

PAGE, GRID = "editing.md", f"editing{PAGE_SUFFIX}"
UNEDITED, ANSWER = "unedited picture", "true answer"
# What no way of editing can be expected to beat: it ends with the autoencoder, too.
RESTORED = ", through the autoencoder"
_HEADINGS = {
    "recognised": "target recognised",
    "read": "target read",
    "identity": "identity kept",
    "unchanged_error": "error where nothing should change",
    "gain": "closeness to the answer",
}
_LOWER_IS_BETTER = ("unchanged_error",)
_TILE = 96


@dataclass(frozen=True)
class ScoredEdit:
    """The scores of one row of the table, edit by edit."""

    name: str
    edits: Sequence[KnownEdit]
    scores: Sequence[EditScores]

    def values(self, score: str, kind: str | None = None) -> list[float]:
        """Return a score's values where it has an answer, of one kind of edit or all."""
        pairs = zip(self.edits, self.scores, strict=True)
        found = [getattr(scores, score) for known, scores in pairs if kind in (None, known.kind)]
        return [value for value in found if value is not None]

    def by_edit(self, score: str) -> dict[str, float]:
        """Return a score by edit, where it has an answer."""
        pairs = zip(self.edits, self.scores, strict=True)
        found = {known.name: getattr(scores, score) for known, scores in pairs}
        return {name: value for name, value in found.items() if value is not None}


def write_editing_report(study: EditingStudy, folder: Path, examiner: Examiner, encoder: Encoder) -> tuple[Path, Path]:
    """Write page and grid of what the study has made so far, over those that are there; return both paths.

    Raises:
        BadConfig: If nothing was made yet.
    """
    rows = score_study(study, examiner, encoder)
    page, grid = folder / PAGE, folder / GRID
    with write_aside(grid) as temporary:
        temporary.write_bytes(encode_for_page(draw_grid(study)))
    with write_aside(page) as temporary:
        temporary.write_text(_render(study, rows, examiner, encoder), encoding="utf-8")
    return page, grid


def score_study(study: EditingStudy, examiner: Examiner, encoder: Encoder) -> list[ScoredEdit]:
    """Score every variant on the edits that all variants have made.

    The unedited pictures and the true answers stand beside them, as they are and through the autoencoder.
    """
    made = _made(study)
    if not made:
        raise BadConfig(f"{study.folder} holds no edit that every variant has made; run the study first")
    size = study.base.family.resolution
    before, after = ([known.pictures(size)[which] for known, _ in made] for which in (0, 1))
    columns: dict[str, list[Image.Image]] = {
        UNEDITED: before,
        UNEDITED + RESTORED: restore_images(study.base.pipeline.vae, before),
        **{variant.name: [results[variant.name] for _, results in made] for variant in study.variants},
        ANSWER + RESTORED: restore_images(study.base.pipeline.vae, after),
        ANSWER: after,
    }
    edits = [known for known, _ in made]
    return [ScoredEdit(name, edits, score_edits(edits, images, examiner, encoder)) for name, images in columns.items()]


def draw_grid(study: EditingStudy) -> Image.Image:
    """Draw the first finished edit of each kind: the picture, every variant's result, the true answer."""
    tiles: list[tuple[Image.Image, str]] = []
    made = _made(study)
    for kind in KINDS_OF_EDIT:
        first = next(((known, results) for known, results in made if known.kind == kind), None)
        if first is None:
            continue
        known, results = first
        before, after = known.pictures(study.base.family.resolution)
        tiles.append((before, known.source))
        tiles += [(results[variant.name], variant.name) for variant in study.variants]
        tiles.append((after, known.target))
    return caption_sheet(tiles, columns=len(study.variants) + 2, tile=_TILE)


def _made(study: EditingStudy) -> list[tuple[KnownEdit, Mapping[str, Image.Image]]]:
    """Return the edits that every variant has made, with the results by variant."""
    found: list[tuple[KnownEdit, Mapping[str, Image.Image]]] = []
    for known in study.edits:
        results = {variant.name: study.result(known, variant) for variant in study.variants}
        present = {name: image for name, image in results.items() if image is not None}
        if len(present) == len(study.variants):
            found.append((known, present))
    return found


def _render(study: EditingStudy, rows: Sequence[ScoredEdit], examiner: Examiner, encoder: Encoder) -> str:
    edits = rows[0].edits
    counts = ", ".join(f"{sum(known.kind == kind for known in edits)} of {kind}" for kind in KINDS_OF_EDIT)
    shown = [name for name in _HEADINGS if any(row.values(name) for row in rows)]
    by_kind = [name for name in ("recognised", "read", "gain") if name in shown]
    recipes = "; ".join(
        f"{name}: {recipe.steps} steps, rate {recipe.learning_rate:g}" for name, recipe in study.recipes.items()
    )
    lines = [
        "# Editing one picture",
        "",
        "Toyland's pictures are drawn by a program, so every edit has a true answer: the same picture with one thing"
        " changed.",
        f"{len(edits)} edits ({counts}) of identities that the base was not trained on; one seed each. Base:"
        f" {study.base.name} ({study.base.fingerprint}). Training: {recipes}. Ranges are 95 % bootstrap intervals over"
        " edits. Written by `portraitist toyland editing`.",
        "",
        *_findings([row for row in rows if row.name in {variant.name for variant in study.variants}], shown),
        "",
        table(["", *(_HEADINGS[name] for name in shown)], [_cells(row, shown) for row in rows]),
        "",
        *(f"- {line}" for line in _explain(examiner, encoder)),
        "",
        "## What inversion and training add",
        "",
        "Differences on the same edits. Where an interval includes zero, there may be none.",
        "",
        table(["", *(_HEADINGS[name] for name in shown)], _differences(study, rows, shown)),
        *(line for name in by_kind for line in _by_kind(rows, name)),
        "",
        f"![Rows: one edit of each kind; columns: the picture, every way of editing, the true answer]({GRID})",
        "",
    ]
    return "\n".join(lines)


def _findings(variants: Sequence[ScoredEdit], shown: Sequence[str]) -> list[str]:
    """Say which way is best at each score, and which cannot be told from it."""
    lines = []
    for score in shown:
        sign = -1 if score in _LOWER_IS_BETTER else 1
        best = max(variants, key=lambda row: sign * sum(row.values(score)))
        near = [row.name for row in variants if row is not best and _holds_zero(_difference(best, row, score))]
        words = f" Within noise of it: {'; '.join(near)}." if near else ""
        if not can_decide(found := bootstrap_interval(best.values(score))):
            few = f"With {found.count} edits, no difference can be told from noise"
            words = f" {few}; that takes {FEWEST_SUBJECTS} or more."
        lines.append(
            f"- {_HEADINGS[score].capitalize()}: best with {best.name}, {_interval(best.values(score))}.{words}"
        )
    return lines


def _differences(study: EditingStudy, rows: Sequence[ScoredEdit], shown: Sequence[str]) -> list[list[str]]:
    """Return a line a comparison of two variants that differ in one thing."""
    by_name = {row.name: row for row in rows}
    inverted = {variant.method: variant.name for variant in study.variants if variant.config.inversion}
    others = [variant for variant in study.variants if not variant.config.inversion]
    pairs = [(inverted[variant.method], variant.name) for variant in others]
    pairs += [(name, inverted[NOTHING]) for method, name in inverted.items() if method != NOTHING]
    return [
        [f"{one} - {other}", *(_signed(_difference(by_name[one], by_name[other], score)) for score in shown)]
        for one, other in pairs
    ]


def _difference(one: ScoredEdit, other: ScoredEdit, score: str) -> Interval | None:
    return paired_difference(one.by_edit(score), other.by_edit(score))


def _holds_zero(interval: Interval | None) -> bool:
    return interval is not None and is_noise(interval)


def _signed(interval: Interval | None) -> str:
    return "" if interval is None else f"{interval.mean:+.2f} ({interval.low:+.2f} to {interval.high:+.2f})"


def _cells(row: ScoredEdit, shown: Sequence[str]) -> list[str]:
    return [row.name, *(_interval(row.values(name)) for name in shown)]


def _by_kind(rows: Sequence[ScoredEdit], score: str) -> list[str]:
    """Return a section with a score's means for each kind of edit."""
    kinds = [kind for kind in KINDS_OF_EDIT if any(row.values(score, kind) for row in rows)]
    body = []
    for row in rows:
        found = [row.values(score, kind) for kind in kinds]
        body.append([row.name, *(f"{sum(v) / len(v):.2f}" if v else "" for v in found)])
    return ["", f"## {_HEADINGS[score].capitalize()}, by kind of edit", "", table(["", *kinds], body)]


def _interval(values: Sequence[float]) -> str:
    if not values:
        return ""
    found = bootstrap_interval(values)
    return f"{found.mean:.2f} ({found.low:.2f} to {found.high:.2f})"


def _explain(examiner: Examiner, encoder: Encoder) -> list[str]:
    """Say what the columns mean."""
    return [
        "Target recognised: in the region to change, the result is nearer to the true answer than to the unedited"
        " picture; a picture of neither can count as either.",
        "Target read: toyland's examiner reads the scene, style or colour that was asked for"
        f" (weights {examiner.revision}).",
        f"Identity kept: cosine with the true answer, by {encoder.name} (weights {encoder.revision}).",
        "Error where nothing should change: root mean square, on a scale of 0 to 1; a new style may change everything.",
        "Closeness to the answer: 1 is the true answer, 0 is as far from it as the unedited picture, in the region to"
        " change. It goes pixel by pixel, so a different picture of what was asked for scores low.",
    ]
