"""An evaluation for readers: a table in Markdown, and a sheet of pictures."""

from collections.abc import Sequence

from PIL import Image

from portraitist.evaluation.candidates import read_pictures
from portraitist.evaluation.evaluating import Evaluation, first_pictures
from portraitist.evaluation.metrics import METRICS
from portraitist.evaluation.results import Comparison, Result, label
from portraitist.generation import SheetRow, contact_sheet
from portraitist.markdown import table
from portraitist.units import in_bytes, in_time

_COLUMNS = 8


def markdown(result: Result) -> str:
    """Return the result as Markdown: means with intervals first, then subjects, then what it was measured with."""
    parts = [
        f"# {result.name}",
        _summary(result),
        _means(result),
        _unmeasured(result),
        _subjects(result),
        _encoders(result),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _summary(result: Result) -> str:
    done, expected = len(result.subjects), result.settings["subjects_expected"]
    pictures = sum(row.pictures for row in result.subjects)
    text = f"Protocol {result.protocol}: {done} of {expected} subjects, {pictures} pictures."
    if done < expected:
        text += " Scores on part of the subjects cannot be compared with those of the whole protocol."
    text = f"{text} Reference pictures: {result.settings['references']}."
    return f"{text} Faces: {result.settings['faces']}." if "faces" in result.settings else text


def _means(result: Result) -> str:
    rows = []
    for metric in result.metrics():
        interval = result.interval(metric)
        within = [row.prompt_deviation[metric] for row in result.subjects if metric in row.prompt_deviation]
        prompts = f"{sum(within) / len(within):.3f}" if within else ""
        spread = f"{interval.low:.3f} to {interval.high:.3f}" if interval.count > 1 else "one subject"
        rows.append([_arrow(metric), f"{interval.mean:.3f}", spread, f"{result.deviation(metric):.3f}", prompts])
    rows += [[label(metric), f"{value:.2f}", "", "", ""] for metric, value in result.set_scores.items()]
    return table(["metric", "mean", "95 % over subjects", "deviation over subjects", "over prompts"], rows)


def _unmeasured(result: Result) -> str:
    return "\n".join(f"- Not measured, in no mean: {line}" for line in result.unmeasured())


def _arrow(metric: str) -> str:
    if metric not in METRICS:
        return label(metric)
    return f"{label(metric)} ({'higher' if METRICS[metric].higher_is_better else 'lower'} is better)"


def _subjects(result: Result) -> str:
    metrics = result.metrics()
    rows = []
    for row in result.subjects:
        numbers = [f"{row.scores[metric]:.3f}" if metric in row.scores else "" for metric in metrics]
        size = in_bytes(row.bytes) if row.bytes is not None else ""
        sampled = in_time(row.seconds_per_picture) if row.seconds_per_picture is not None else ""
        trained = in_time(row.training_seconds) if row.training_seconds is not None else ""
        rows.append([row.subject, *numbers, size, trained, sampled])
    return table(["subject", *map(label, metrics), "file", "training", "a picture"], rows)


def _encoders(result: Result) -> str:
    rows = [[role, one.name, one.revision, one.preprocessing] for role, one in result.encoders.items()]
    return table(["role", "encoder", "weights", "preprocessing"], rows)


def comparison_table(rows: Sequence[Comparison], one: str, other: str) -> str:
    """Return a comparison as Markdown."""
    cells = [
        [label(row.metric), f"{row.difference:+.3f}", f"{row.interval[0]:+.3f} to {row.interval[1]:+.3f}",
         f"{row.win_rate:.0%}", str(row.subjects)]
        for row in rows
    ]  # fmt: skip
    return table(["metric", f"{one} minus {other}", "95 %", f"{one} wins", "subjects"], cells)


def picture_sheet(evaluation: Evaluation, columns: int = _COLUMNS) -> Image.Image:
    """Lay out one row of photos and one row of generated pictures for every subject."""
    rows = []
    for candidate in evaluation.candidates:
        photos = read_pictures(candidate.photos)[:columns]
        rows.append(SheetRow(f"{candidate.subject.name}: photos", photos))
        shown = first_pictures(evaluation, candidate, columns)
        rows.append(SheetRow(f"{candidate.subject.name}: generated", [image for image, _ in shown]))
    return contact_sheet(rows, title=f"{evaluation.name}, protocol {evaluation.protocol.name}")
