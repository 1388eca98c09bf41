"""A sheet of pictures: one row per subject, its photo and then the same prompts of some variants."""

from pathlib import Path

from PIL import Image

from portraitist.evaluation.protocol import fill
from portraitist.generation import SheetRow, contact_sheet
from portraitist.photos import decode_readable, list_photos
from portraitist.studies.grid.study import Sheet, thin
from portraitist.studies.report.analysis import GridResult, VariantResult
from portraitist.studies.runs.running import picture_name
from portraitist.studies.runs.table import RunRecord, RunTable

_TILE = 96
_GREY = Image.new("RGB", (8, 8), (212, 208, 200))  # where there is no picture


def variant_sheet(result: GridResult, table: RunTable) -> Image.Image | None:
    """Return a grid's sheet; None where none is wanted, or no picture is there."""
    sheet = result.grid.sheet
    if sheet is None:
        return None
    variants = [each for each in result.finished if not sheet.variants or each.method in sheet.variants]
    rows = []
    for subject in result.subjects:
        runs = [_run_of(variant, subject) for variant in variants]
        found = next((run for run in runs if run is not None), None)
        if found is not None and sheet.class_noun in (None, found.spec["class_noun"]):
            rows.append(_row(subject, runs, found, sheet, table))
    chosen = [row for row in rows if any(image is not _GREY for image in row.images[1:])][: sheet.subjects]
    if not chosen:
        return None
    spec = next(iter(variants[0].runs.values())).spec
    prompts = [fill(prompt, "...") for _, prompt in _prompts(spec["prompts"], sheet)]
    heads = ["photo", *(f"{result.label(variant)}: {prompt}" for variant in variants for prompt in prompts)]
    return contact_sheet([SheetRow(chosen[0].caption, chosen[0].images, heads), *chosen[1:]], tile=_TILE)


def _row(subject: str, runs: list[RunRecord | None], some: RunRecord, sheet: Sheet, table: RunTable) -> SheetRow:
    numbers = [number for number, _ in _prompts(some.spec["prompts"], sheet)]
    pictures = [_picture(table, run, number) for run in runs for number in numbers]
    return SheetRow(subject, [_photo(Path(some.spec["photos"])), *pictures])


def _prompts(prompts: list[str], sheet: Sheet) -> list[tuple[int, str]]:
    return list(thin(list(enumerate(prompts)), sheet.prompts))


def _run_of(variant: VariantResult, subject: str) -> RunRecord | None:
    return next((run for (name, _), run in sorted(variant.runs.items()) if name == subject), None)


def _picture(table: RunTable, run: RunRecord | None, prompt: int) -> Image.Image:
    path = None if run is None else table.picture_path(run.key, picture_name("subject", prompt, 0))
    if path is None or not path.exists():
        return _GREY
    with Image.open(path) as image:
        return image.convert("RGB")


def _photo(folder: Path) -> Image.Image:
    """Return the first photo, if it is still there."""
    paths = list_photos(folder)[:1] if folder.is_dir() else []
    return next((photo.convert("RGB") for _, photo in decode_readable(paths)), _GREY)
