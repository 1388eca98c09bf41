"""A study's report: one HTML page that needs nothing beside it, Markdown with its figures, and tables as CSV."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from portraitist import __version__
from portraitist.bases.examples import list_examples
from portraitist.files import file_name, write_aside
from portraitist.generation import SheetRow, contact_sheet
from portraitist.photos import PAGE_SUFFIX, encode_for_page
from portraitist.studies.grid.specs import without_places
from portraitist.studies.grid.variants import REFERENCES
from portraitist.studies.grid.words import value_words
from portraitist.studies.pages.rendering import template_environment
from portraitist.studies.report.analysis import StudyResult, analyse
from portraitist.studies.report.charts import Chart
from portraitist.studies.report.findings import answer, caveats, terms
from portraitist.studies.report.picture_grids import PictureGrid
from portraitist.studies.report.sections import ReportSection, build_sections
from portraitist.studies.report.tables import Entry
from portraitist.studies.runs.engine import Prepared
from portraitist.studies.runs.files import PARQUET, RUNS, write_csv, write_parquet
from portraitist.units import in_time

PAGE, TEXT, SUMMARY = "report.html", "report.md", "summary.csv"
FIGURES = "figures"
_GREY = (212, 208, 200)  # where a run is missing on a sheet
_SHORT = 240  # characters of a list in the settings
_SAID_ELSEWHERE = ("title", "hypothesis", "grids", "quick")
_JUDGES = {"used": "the photos that were trained on", "others": "the subject's other photos"}


@dataclass(frozen=True)
class _Figure:
    """A figure of the Markdown: its file's name, what it shows, and the file's bytes."""

    file: str
    description: str
    data: bytes


def write_report(prepared: Prepared, parquet: bool = False, page: Path | None = None) -> list[Path]:
    """Write the report into the study's folder, over an older one.

    Args:
        prepared: The study, finished or not.
        parquet: Also write the runs as Parquet.
        page: Also write the Markdown there, with its figures and the runs' CSV in a folder of its name beside it.

    Returns:
        The files for a reader, the page first.

    Raises:
        MissingExtra: If Parquet is wanted and pyarrow is not installed.
    """
    folder = prepared.table.folder
    result = analyse(prepared)
    sections = build_sections(result)
    content = _content(result, sections)
    _write(folder / PAGE, render_page(content))
    figures = _draw_figures(sections)
    _write_text(folder / TEXT, content, figures, FIGURES)
    _write_summary(result, folder / SUMMARY)
    write_csv(result.runs.values(), folder / RUNS)
    files = [folder / name for name in (PAGE, TEXT, SUMMARY, RUNS)]
    if parquet:
        write_parquet(result.runs.values(), folder / PARQUET)
        files.append(folder / PARQUET)
    if page is not None:
        _write_text(page, content, figures, page.stem)
        write_csv(result.runs.values(), page.parent / page.stem / RUNS)
        files.append(page)
    return files


def render_page(content: Mapping[str, Any]) -> str:
    """Render the HTML page."""
    return template_environment().get_template("study.html.j2").render(**content)


def _write_text(path: Path, content: Mapping[str, Any], figures: Mapping[str, Sequence[_Figure]], name: str) -> None:
    """Write the Markdown, and the figures into a folder of that name beside it."""
    placed: dict[str, list[tuple[str, str]]] = {}
    for section, drawn in figures.items():
        for figure in drawn:
            with write_aside(path.parent / name / figure.file) as temporary:
                temporary.write_bytes(figure.data)
        placed[section] = [(f"{name}/{figure.file}", figure.description) for figure in drawn]
    environment = template_environment().overlay(autoescape=False)
    text = environment.get_template("study.md.j2").render(**content, figures=placed, marked=_marked)
    lines = text.splitlines()
    kept = [line for index, line in enumerate(lines) if line.strip() or (index and lines[index - 1].strip())]
    _write(path, "\n".join(kept).strip() + "\n")


def _content(result: StudyResult, sections: Sequence[ReportSection]) -> dict[str, Any]:
    """Return everything the templates name."""
    study = result.prepared.study
    first = next((grid for grid in result.grids if grid.finished), None)
    first_hypothesis = result.prepared.table.facts()["first_hypothesis"]
    return {
        "title": study.title,
        "answer": answer(result),
        "caveats": caveats(result, first),
        "terms": terms(first),
        "hypothesis": first_hypothesis,
        "later_hypothesis": study.hypothesis if study.hypothesis != first_hypothesis else "",
        "sections": sections,
        "failures": _failures(result),
        "settings": _settings(result),
        "licence": _licence(result),
        "version": __version__,
    }


def _failures(result: StudyResult) -> list[tuple[str, str]]:
    """Return who failed and why; runs with the same message share a line."""
    by_error: dict[str, list[str]] = {}
    for run in result.failures:
        by_error.setdefault(run.error, []).append(f"{run.method} on {run.subject}, seed {run.seed}")
    return [(", ".join(dict.fromkeys(runs)), error) for error, runs in by_error.items()]


def _settings(result: StudyResult) -> list[tuple[str, dict[str, str]]]:
    """Return tables of settings: the study's, the scorer's, one recipe a method, machine and versions."""
    facts = result.prepared.table.facts()
    study = {name: value for name, value in facts["study"].items() if name not in _SAID_ELSEWHERE}
    study["judged by"] = _JUDGES.get(study.pop("judged_by", None))
    study["runs"] = f"{result.done} finished of {result.planned}"
    times = [run.total_seconds for run in result.runs.values() if run.total_seconds is not None]
    study["time of all runs together"] = in_time(sum(times)) if times else "none yet"
    recipes: dict[str, dict[str, Any]] = {}
    for run in result.runs.values():
        if run.method not in REFERENCES:
            recipes.setdefault(run.method, without_places(run.spec["recipe"]))
    machine = {
        "machine": facts["machine"],
        "workers": facts.get("workers", "none yet"),
        "device": facts.get("device", "none yet"),
        "runs taken from elsewhere": facts.get("taken_over", 0) or None,
    }
    tables = [
        ("The study", study),
        ("The base", facts["base"]),
        ("The scorer", facts["scorer"]),
        *((f"Recipe of {method}, as in its first run", recipe) for method, recipe in recipes.items()),
        ("Machine and versions", {**machine, **_all_of_each(facts["all_versions"])}),
    ]
    return [(caption, _plain_rows(rows)) for caption, rows in tables]


def _all_of_each(versions: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Return every version of each library that runs were made with."""
    return {name: ", ".join(dict.fromkeys(each[name] for each in versions)) for name in versions[0]}


def _plain_rows(rows: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return settings as words, nested ones flattened, absent ones left out."""
    plain: dict[str, str] = {}
    for name, value in rows.items():
        words = f"{prefix}{name}".replace("_", " ").strip()
        if isinstance(value, Mapping):
            plain.update(_plain_rows(value, f"{words} "))
        elif value is not None and value != []:
            plain[words] = _words(value)
    return plain


def _words(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        text = "; ".join(
            str(each["name"]) if isinstance(each, Mapping) and "name" in each else str(each) for each in value
        )
        return text if len(text) <= _SHORT else f"{text[:_SHORT].rsplit(' ', 1)[0]} …"
    return value_words(value)


def _licence(result: StudyResult) -> str:
    """Return who drew the artwork of example subjects and of drawn ones."""
    subjects = {run.subject for run in result.runs.values()}
    licences = dict.fromkeys(example.licence for example in list_examples() if example.name in subjects)
    licences.update(dict.fromkeys(result.prepared.table.facts().get("licences", ())))
    return f"{'. '.join(licences)}. The generated pictures are derived from that artwork." if licences else ""


def _draw_figures(sections: Sequence[ReportSection]) -> dict[str, list[_Figure]]:
    """Draw every section's charts, the pictures of its first subject, and its sheet."""
    style = _figure_style()
    figures: dict[str, list[_Figure]] = {}
    for number, section in enumerate(sections, 1):
        drawn = figures.setdefault(section.name, [])
        for index, chart in enumerate(section.charts, 1):
            drawn.append(_Figure(f"{number}-chart-{index}.svg", _description(chart), chart.draw_alone(style).encode()))
        for gallery in section.pictures[:1]:
            columns = ", ".join(gallery.columns)
            description = f"{gallery.subject}: its photos, then one row per prompt; columns: {columns}"
            file = f"{number}-{file_name(gallery.subject, 'subject')}{PAGE_SUFFIX}"
            drawn.append(_Figure(file, description, _sheet(gallery)))
        if section.sheet is not None:
            description = "one row per subject: a photo, then pictures of the same prompts by each variant"
            drawn.append(_Figure(f"{number}-sheet{PAGE_SUFFIX}", description, encode_for_page(section.sheet)))
    return figures


def _figure_style() -> str:
    """Return the style of a chart that stands alone, in light and dark."""
    environment = template_environment()
    parts = [environment.get_template(f"{name}.css.j2").render() for name in ("colours", "palette", "charts")]
    return "".join(parts)


def _description(chart: Chart) -> str:
    lines = ", ".join(name for _, name in chart.legend)
    return f"{chart.title}{': ' if lines else ''}{lines}"


def _sheet(gallery: PictureGrid) -> bytes:
    """Lay out a picture grid as one picture."""
    missing = Image.new("RGB", (8, 8), _GREY)
    rows = [SheetRow("photos", gallery.photos)] if gallery.photos else []
    for index, (prompt, images) in enumerate(gallery.rows):
        rows.append(SheetRow(prompt, [image or missing for image in images], () if index else gallery.columns))
    return encode_for_page(contact_sheet(rows))


def _write_summary(result: StudyResult, path: Path) -> None:
    """Write one line a variant, references after a grid's variants: means with the ends of their intervals."""
    lines: list[dict[str, Any]] = []
    for grid in result.grids:
        for variant in (*grid.variants, *grid.references):
            line: dict[str, Any] = {"grid": grid.grid.name, "variant": variant.label, "method": variant.method}
            line |= {"runs": len(variant.runs), "failed": len(variant.failures), "planned": variant.planned}
            line |= {"parameters": variant.parameters, "file_bytes": variant.file_bytes}
            line["training_seconds"] = variant.seconds.mean if variant.seconds else None
            for metric in grid.metrics:
                interval = variant.interval(metric.name)
                if interval is not None:
                    line[metric.name] = interval.mean
                    line |= {f"{metric.name}_low": interval.low, f"{metric.name}_high": interval.high}
            lines.append(line)
    names = list(dict.fromkeys(name for line in lines for name in line))
    with write_aside(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)


def _marked(entry: Entry) -> str:
    """Return a table's cell in Markdown."""
    text = (
        f"**{entry.text}**"
        if entry.standing == "best"
        else f"≈ {entry.text}"
        if entry.standing == "near"
        else entry.text
    )
    return f"{text} ({entry.detail})" if entry.detail else text


def _write(path: Path, text: str) -> None:
    with write_aside(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
