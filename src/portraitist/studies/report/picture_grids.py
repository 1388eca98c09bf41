"""Pictures of a grid's arms side by side: a few subjects, prompts and arms, always the same seed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from portraitist.errors import BadPhoto
from portraitist.evaluation.protocol import fill
from portraitist.photos import decode_readable, list_photos
from portraitist.studies.grid.study import thin
from portraitist.studies.report.analysis import ArmResult, GridResult
from portraitist.studies.runs.running import picture_name
from portraitist.studies.runs.table import Row, Table

_COLUMNS, _PROMPTS, _CLASS_PROMPTS, _SUBJECTS, _PHOTOS = 6, 6, 2, 3, 5  # at most
_SIDE = 256  # pixels of a picture on the page, at most


@dataclass(frozen=True)
class PictureGrid:
    """Pictures of one subject, then of its class: a row a prompt, a column an arm, all with the same seed.

    Attributes:
        subject: The subject's name.
        photos: Its photos.
        columns: Names of the arms.
        rows: Prompts with one picture a column; None where a run is missing.
    """

    subject: str
    photos: tuple[Image.Image, ...]
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Image.Image | None, ...]], ...]


def picture_grids(result: GridResult, table: Table) -> list[PictureGrid]:
    """Return the pictures of a few subjects under a few arms; runs taken over from a file alone have none."""
    arms = shown_arms(result.finished)
    seen: dict[str, int] = {}
    for arm in arms:
        for (subject, _), row in arm.rows.items():
            if _has_pictures(table, row):
                seen[subject] = seen.get(subject, 0) + 1
    chosen = [subject for subject, count in seen.items() if count == max(seen.values())][:_SUBJECTS]
    return [_picture_grid(result, arms, subject, table) for subject in chosen]


def shown_arms(arms: Sequence[ArmResult], most: int = _COLUMNS) -> list[ArmResult]:
    """Return as many arms as there is room for.

    Where methods have the same values, the same ones of each are shown; two at least, of fewer methods if need be,
    because their difference is what was asked.
    """
    methods = list(dict.fromkeys(one.arm.method for one in arms))
    values = [[one.arm.values for one in arms if one.arm.method == method] for method in methods]
    shared = [each for each in next(iter(values), []) if all(each in other for other in values)]
    if len(arms) <= most or not shared:
        return list(thin(arms, most))
    count = max(most // len(methods), min(2, len(shared), most))
    shown_values, shown_methods = thin(shared, count), thin(methods, most // count)
    return [one for one in arms if one.arm.method in shown_methods and one.arm.values in shown_values]


def _picture_grid(result: GridResult, arms: Sequence[ArmResult], subject: str, table: Table) -> PictureGrid:
    rows = [_first_shown(arm, subject, table) for arm in arms]
    spec = next(row.spec for row in rows if row is not None)
    noun = str(spec["class_noun"])
    shown = (
        ("subject", spec["prompts"], _PROMPTS, f"{spec['token']} {noun}"),
        ("class", spec["class_prompts"], _CLASS_PROMPTS, noun),
    )
    lines = []
    for kind, prompts, most, words in shown:
        for number, prompt in thin(list(enumerate(prompts)), most):
            name = picture_name(kind, number, 0)
            images = tuple(None if row is None else _read(table, row.key, name) for row in rows)
            if any(images):
                lines.append((fill(prompt, words), images))
    photos = tuple(_photos(Path(spec["photos"])))
    return PictureGrid(subject, photos, tuple(result.label(arm) for arm in arms), tuple(lines))


def _first_shown(arm: ArmResult, subject: str, table: Table) -> Row | None:
    """Return the run of the first training seed that has pictures, or of the first at all."""
    runs = [row for (name, _), row in sorted(arm.rows.items()) if name == subject]
    return next((row for row in runs if _has_pictures(table, row)), runs[0] if runs else None)


def _has_pictures(table: Table, row: Row) -> bool:
    return table.picture_path(row.key, picture_name("subject", 0, 0)).exists()


def _read(table: Table, key: str, name: str) -> Image.Image | None:
    path = table.picture_path(key, name)
    if not path.exists():
        return None
    with Image.open(path) as image:
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
