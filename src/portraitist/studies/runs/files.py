"""A study's runs as files: CSV, kept beside a page and taken over into another folder, and Parquet."""

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import AliasChoices, BaseModel, Field, Json, ValidationError

from portraitist.errors import BadConfig, BadFile, MissingExtra
from portraitist.files import write_aside
from portraitist.studies.grid.specs import RunSpec, without_places
from portraitist.studies.grid.study import PHOTOS
from portraitist.studies.runs.outcome import CurvePoint, RunOutcome
from portraitist.studies.runs.table import PICTURES, RunRecord
from portraitist.wrong_values import first_wrong_value

RUNS, PARQUET = "runs.csv", "runs.parquet"
_SCORE, _SETTING = "score.", "setting."
_IN_COLUMNS = ("scores", "curve", "spec", "prompt_scores")  # of a record, and written in columns of their own


class _KeptRun(BaseModel):
    """What a line of the CSV says of a finished run, apart from what its key stands for.

    Files of earlier versions call two columns `size` and `seconds`, and say nothing of prompts.
    """

    parameters: int | None
    file_bytes: int | None = Field(validation_alias=AliasChoices("file_bytes", "size"))
    training_seconds: float | None
    total_seconds: float | None = Field(validation_alias=AliasChoices("total_seconds", "seconds"))
    finished: str
    scores: dict[str, float]
    curve: Json[tuple[CurvePoint, ...]]
    prompt_scores: Json[dict[str, tuple[float, ...]]] = Field(default_factory=dict)


def flatten(records: Iterable[RunRecord]) -> list[dict[str, Any]]:
    """Return one flat mapping a run, scores and settings each in a column of their own, curves as JSON."""
    flat = []
    for record in records:
        plain = {name: value for name, value in vars(record).items() if name not in _IN_COLUMNS}
        scores = {f"{_SCORE}{name}": value for name, value in record.scores.items()}
        chosen = {PHOTOS: record.spec["photo_count"], **_dotted(without_places(record.spec["recipe"]))}
        settings = {f"{_SETTING}{name}": value for name, value in chosen.items()}
        curve = json.dumps([asdict(point) for point in record.curve])
        by_prompt = json.dumps(record.prompt_scores)
        flat.append(
            {**plain, "base": record.spec["base"], **scores, **settings, "curve": curve, "prompt_scores": by_prompt}
        )
    return flat


def write_csv(records: Iterable[RunRecord], path: Path) -> None:
    """Write the runs as comma-separated values."""
    flat = flatten(records)
    names = list(dict.fromkeys(name for row in flat for name in row))
    with write_aside(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(flat)


def write_parquet(records: Iterable[RunRecord], path: Path) -> None:
    """Write the runs as Parquet.

    Raises:
        MissingExtra: If pyarrow is not installed.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise MissingExtra("parquet", "pyarrow") from error
    flat = flatten(records)
    names = list(dict.fromkeys(name for row in flat for name in row))
    columns = {name: _one_type([row.get(name) for row in flat]) for name in names}
    with write_aside(path) as temporary:
        parquet.write_table(pyarrow.table(columns), temporary)


def find_runs(source: Path) -> Path:
    """Return the CSV in a study's folder, or the file itself.

    Raises:
        BadConfig: If there is none.
    """
    path = source / RUNS if source.is_dir() else source
    if not path.is_file():
        raise BadConfig(f"there is no table of runs at {path}; give a study's folder or the {RUNS} of one")
    return path


def read_runs(source: Path, wanted: Iterable[RunSpec]) -> Iterator[tuple[RunOutcome, str]]:
    """Yield runs that were finished elsewhere, with when that was, and with their pictures where those lie beside.

    A run is known by its key, which stands for everything that decides its result; runs that are not wanted, and
    those that failed, are passed over.

    Args:
        source: A ``runs.csv``, or a study's folder that has one.
        wanted: The runs to look for.

    Raises:
        BadConfig: If there is no such file.
        BadFile: If it is not a table of runs; before a run is yielded.
    """
    path = find_runs(source)
    specs = {spec.key: spec for spec in wanted}
    for key, run in [(key, run) for key, run in _read(path) if key in specs]:
        pictures = sorted((path.parent / PICTURES / key).glob("*.*"))
        outcome = RunOutcome(
            specs[key],
            "done",
            scores=run.scores,
            prompt_scores=run.prompt_scores,
            curve=run.curve,
            parameters=run.parameters,
            file_bytes=run.file_bytes,
            training_seconds=run.training_seconds,
            total_seconds=run.total_seconds,
            pictures={picture.name: picture.read_bytes() for picture in pictures},
        )
        yield outcome, run.finished


def _read(path: Path) -> Iterator[tuple[str, _KeptRun]]:
    """Yield the finished runs of a CSV with their keys."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            for line in csv.DictReader(file, strict=True):
                if line["status"] == "done":
                    yield line["key"], _kept_run(line)
    except (KeyError, UnicodeDecodeError, csv.Error, OSError) as error:
        raise BadFile(f"{path} is not the {RUNS} of a study: {_reason(error)}") from error
    except ValidationError as error:
        raise BadFile(f"{path} holds a run that cannot be read: {first_wrong_value(error, _KeptRun)}") from error


def _kept_run(line: Mapping[str | None, str]) -> _KeptRun:
    known = {name: text for name, text in line.items() if name is not None}  # more fields than the head has
    scores = {name.removeprefix(_SCORE): text for name, text in known.items() if name.startswith(_SCORE) and text}
    return _KeptRun.model_validate({**{name: text or None for name, text in known.items()}, "scores": scores})


def _reason(error: Exception) -> str:
    return f"no column {error}" if isinstance(error, KeyError) else str(error)


def _dotted(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings under dotted names; lists become text."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flat.update(_dotted(value, f"{prefix}{name}."))
        else:
            flat[f"{prefix}{name}"] = json.dumps(value) if isinstance(value, list | tuple) else value
    return flat


def _one_type(values: list[Any]) -> list[Any]:
    """Make a column's values one type: numbers if all are, else text."""
    present = [value for value in values if value is not None]
    if all(isinstance(value, bool) for value in present):
        return values
    if all(isinstance(value, int | float) for value in present):
        mixed = any(isinstance(value, float) for value in present)
        return [float(value) if mixed and value is not None else value for value in values]
    return [None if value is None else str(value) for value in values]
