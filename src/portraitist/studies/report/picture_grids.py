"""Pictures of a grid's variants side by side: a few subjects, prompts and variants, always the same seed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from portraitist.errors import BadPhoto
from portraitist.evaluation.protocol import fill
from portraitist.photos import decode_readable, list_photos
from portraitist.studies.grid.study import thin
from portraitist.studies.report.analysis import GridResult, VariantResult
from portraitist.studies.runs.running import picture_name
from portraitist.studies.runs.table import RunRecord, RunTable

_COLUMNS, _PROMPTS, _CLASS_PROMPTS, _SUBJECTS, _PHOTOS = 8, 6, 2, 3, 5  # at most
_SIDE = 256  # pixels of a picture on the page, at most


@dataclass(frozen=True)
class PictureGrid:
    """Pictures of one subject, then of its class: a row a prompt, a column a variant, all with the same seed.

    Attributes:
        subject: The subject's name.
        photos: Its photos.
        columns: Names of the variants.
        rows: Prompts with one picture a column; None where a run is missing.
    """

    subject: str
    photos: tuple[Image.Image, ...]
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Image.Image | None, ...]], ...]


def picture_grids(result: GridResult, table: RunTable) -> list[PictureGrid]:
    """Return the pictures of a few subjects under a few variants; runs taken over from a file alone have none."""
    variants = shown_variants(result.finished)
    seen: dict[str, int] = {}
    for variant in variants:
        for (subject, _), run in variant.runs.items():
            if _has_pictures(table, run):
                seen[subject] = seen.get(subject, 0) + 1
    chosen = [subject for subject, count in seen.items() if count == max(seen.values())][:_SUBJECTS]
    return [_picture_grid(result, variants, subject, table) for subject in chosen]


def shown_variants(variants: Sequence[VariantResult], most: int = _COLUMNS) -> list[VariantResult]:
    """Return as many variants as there is room for.

    Where methods have the same values, the same ones of each are shown; two at least, of fewer methods if need be,
    because their difference is what was asked.
    """
    methods = list(dict.fromkeys(one.method for one in variants))
    values = [[one.variant.values for one in variants if one.method == method] for method in methods]
    shared = [each for each in next(iter(values), []) if all(each in other for other in values)]
    if len(variants) <= most or not shared:
        return list(thin(variants, most))
    count = max(most // len(methods), min(2, len(shared), most))
    shown_values, shown_methods = thin(shared, count), thin(methods, most // count)
    return [one for one in variants if one.method in shown_methods and one.variant.values in shown_values]


def _picture_grid(result: GridResult, variants: Sequence[VariantResult], subject: str, table: RunTable) -> PictureGrid:
    runs = [_first_shown(variant, subject, table) for variant in variants]
    spec = next(run.spec for run in runs if run is not None)
    noun = str(spec["class_noun"])
    shown = (
        ("subject", spec["prompts"], _PROMPTS, f"{spec['token']} {noun}"),
        ("class", spec["class_prompts"], _CLASS_PROMPTS, noun),
    )
    lines = []
    for kind, prompts, most, words in shown:
        for number, prompt in thin(list(enumerate(prompts)), most):
            name = picture_name(kind, number, 0)
            images = tuple(None if run is None else _read(table, run.key, name) for run in runs)
            if any(images):
                lines.append((fill(prompt, words), images))
    photos = tuple(_photos(Path(spec["photos"])))
    return PictureGrid(subject, photos, tuple(result.label(variant) for variant in variants), tuple(lines))


def _first_shown(variant: VariantResult, subject: str, table: RunTable) -> RunRecord | None:
    """Return the run of the first training seed that has pictures, or of the first at all."""
    runs = [run for (name, _), run in sorted(variant.runs.items()) if name == subject]
    return next((run for run in runs if _has_pictures(table, run)), runs[0] if runs else None)


def _has_pictures(table: RunTable, run: RunRecord) -> bool:
    return table.picture_path(run.key, picture_name("subject", 0, 0)).exists()


def _read(table: RunTable, key: str, name: str) -> Image.Image | None:
    path = table.picture_path(key, name)
    if not path.exists():
        return None
    with Image.open(path, formats=["PNG"]) as image:
        return _shown(image)


def _photos(folder: Path) -> Iterator[Image.Image]:
    """Yield a few photos, as far as they are still there."""
    try:
        paths = list_photos(folder)
    except BadPhoto:
        return
    for _, photo in decode_readable(thin(paths, _PHOTOS)):
        yield _shown(photo)


def _shown(image: Image.Image) -> Image.Image:
    """Return a picture no larger than the page shows it."""
    shown = image.convert("RGB")
    shown.thumbnail((_SIDE, _SIDE))
    return shown
