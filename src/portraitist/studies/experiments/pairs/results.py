"""What a study of pairs keeps: rows of verdicts as JSON, and the pictures of each as a sheet."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from PIL import Image

from portraitist.errors import BadConfig
from portraitist.files import write_aside
from portraitist.studies.experiments.pairs.judging import Reliability, Verdict
from portraitist.studies.grid.specs import digest

Way = Literal["joint", "cut-mix", "cut-mix-unmix", "addition", "regional", "untrained"]
_PHOTOS = "photos"


@dataclass(frozen=True)
class PairResult:
    """What became of one pair, taught in one way by one method.

    Attributes:
        pair: The pair's number and name.
        same_class: Whether both are of one kind.
        method: Name of the method.
        way: How they were taught.
        verdicts: One a picture, prompt by prompt.
        seconds: Training time.
        judge: How far the judge of the pair can be trusted.
        judged_by: A hash of what decides verdicts.
        likeness: Of each picture.
        separation: Of each picture.
    """

    pair: int
    name: str
    same_class: bool
    method: str
    way: Way
    verdicts: tuple[Verdict, ...]
    seconds: float
    judge: Reliability
    judged_by: str = ""
    likeness: tuple[float, ...] = ()
    separation: tuple[float, ...] = ()

    @property
    def share(self) -> float:
        """Return the share of pictures that show both, each as itself and in its place."""
        return self.verdicts.count("both") / len(self.verdicts)


class PairStudyFolder:
    """Where rows and pictures of a study are; a folder holds one study."""

    def __init__(self, folder: Path, facts: Mapping[str, Any]) -> None:
        """Open or begin a folder.

        Raises:
            BadConfig: If it holds another study.
        """
        self.folder = folder
        path, wanted = folder / "study.json", json.loads(json.dumps(facts))
        there = json.loads(path.read_text()) if path.exists() else {}
        decisive = [name for name in wanted if name != "judge"]
        if different := [name for name in decisive if there.get(name, wanted[name]) != wanted[name]]:
            raise BadConfig(f"{folder} holds another study: its {different[0]} differs; choose another folder")
        self.facts = {**there, **wanted}
        with write_aside(path) as temporary:
            temporary.write_text(json.dumps(self.facts, indent=2) + "\n")

    @property
    def photos(self) -> Path:
        """Return the folder of the subjects' photos."""
        return self.folder / _PHOTOS

    @property
    def judge(self) -> str:
        """Return a hash of what decides verdicts."""
        return digest(self.facts["judge"])

    def has(self, pair: int, method: str, way: Way) -> bool:
        """Say whether a row is there with verdicts of today's judge."""
        row = self.result(pair, method, way)
        return row is not None and row.judged_by == self.judge

    def result(self, pair: int, method: str, way: Way) -> PairResult | None:
        """Return a row, whoever judged it, or None if its pictures are still to be made."""
        path = self._path(pair, method, way)
        return _read_result(path) if path.exists() else None

    def write(self, row: PairResult, pictures: Sequence[Image.Image], columns: int) -> None:
        """Write a sheet of pictures, then the row."""
        size = pictures[0].size
        sheet = Image.new("RGB", (columns * size[0], -(-len(pictures) // columns) * size[1]))
        for index, picture in enumerate(pictures):
            sheet.paste(picture, (index % columns * size[0], index // columns * size[1]))
        path = self._path(row.pair, row.method, row.way)
        with write_aside(path.with_suffix(".png")) as temporary:
            sheet.save(temporary, format="PNG", optimize=True)
        with write_aside(path) as temporary:
            temporary.write_text(json.dumps(asdict(row)) + "\n")

    def results(self) -> list[PairResult]:
        """Return all rows with verdicts of today's judge."""
        rows = [_read_result(path) for path in sorted((self.folder / "rows").glob("*.json"))]
        return [row for row in rows if row.judged_by == self.judge]

    def sheet(self, row: PairResult) -> Image.Image:
        """Return a row's pictures: prompts down, seeds across."""
        with Image.open(self._path(row.pair, row.method, row.way).with_suffix(".png"), formats=["PNG"]) as image:
            return image.convert("RGB")

    def pictures(self, row: PairResult) -> list[Image.Image]:
        """Return a row's pictures, prompt by prompt."""
        sheet = self.sheet(row)
        size = sheet.width // self.facts["pictures"]["seeds"]
        corners = [(x, y) for y in range(0, sheet.height, size) for x in range(0, sheet.width, size)]
        return [sheet.crop((x, y, x + size, y + size)) for x, y in corners]

    def _path(self, pair: int, method: str, way: Way) -> Path:
        return self.folder / "rows" / f"{pair:03d}-{method}-{way}.json"


def _read_result(path: Path) -> PairResult:
    content = json.loads(path.read_text())
    lists = {name: tuple(value) for name, value in content.items() if isinstance(value, list)}
    return PairResult(**{**content, **lists, "judge": Reliability(**content["judge"])})
