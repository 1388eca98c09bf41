"""The table of a study's runs: one row a run in SQLite, the pictures beside it in a folder."""

import csv
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from portraitist.errors import BadFile, MissingExtra
from portraitist.files import write_aside
from portraitist.studies.running import CurvePoint, RunOutcome

FILE, PICTURES = "runs.sqlite", "pictures"
_COLUMNS = {
    "key": "TEXT PRIMARY KEY",
    "status": "TEXT NOT NULL",
    "error": "TEXT NOT NULL",
    "method": "TEXT NOT NULL",
    "subject": "TEXT NOT NULL",
    "seed": "INTEGER NOT NULL",
    "parameters": "INTEGER",
    "size": "INTEGER",
    "training_seconds": "REAL",
    "seconds": "REAL",
    "finished": "TEXT NOT NULL",
    "scores": "TEXT NOT NULL",
    "curve": "TEXT NOT NULL",
    "spec": "TEXT NOT NULL",
}
_JSON = ("scores", "curve", "spec")


@dataclass(frozen=True)
class Row:
    """A run that was made; fields as in `portraitist.studies.running.RunOutcome`."""

    key: str
    status: str
    error: str
    method: str
    subject: str
    seed: int
    parameters: int | None
    size: int | None
    training_seconds: float | None
    seconds: float | None
    finished: str
    scores: Mapping[str, float]
    curve: tuple[CurvePoint, ...]
    spec: Mapping[str, Any]


class Table:
    """The runs of a study in a folder; every row is on disk once `record` returns."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        with self._open() as connection:
            columns = ", ".join(f"{name} {kind}" for name, kind in _COLUMNS.items())
            connection.execute(f"CREATE TABLE IF NOT EXISTS runs ({columns})")
            connection.execute("CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL)")

    def record(self, outcome: RunOutcome) -> None:
        """Write a run's pictures, then its row; an older row of the same run is replaced."""
        spec = outcome.spec
        for name, content in outcome.pictures.items():
            with write_aside(self.picture_path(spec.key, name)) as temporary:
                temporary.write_bytes(content)
        values = {
            "key": spec.key,
            "status": outcome.status,
            "error": outcome.error,
            "method": spec.method,
            "subject": spec.subject,
            "seed": spec.seed,
            "parameters": outcome.parameters,
            "size": outcome.size,
            "training_seconds": outcome.training_seconds,
            "seconds": outcome.seconds,
            "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "scores": json.dumps(outcome.scores),
            "curve": json.dumps([asdict(point) for point in outcome.curve]),
            "spec": json.dumps(asdict(spec)),
        }
        marks = ", ".join("?" * len(_COLUMNS))
        with self._open() as connection:
            connection.execute(f"INSERT OR REPLACE INTO runs VALUES ({marks})", [values[name] for name in _COLUMNS])

    def rows(self) -> dict[str, Row]:
        """Return all runs by key."""
        with self._open() as connection:
            found = connection.execute(f"SELECT {', '.join(_COLUMNS)} FROM runs").fetchall()
        return {row.key: row for row in map(_row, found)}

    def statuses(self) -> dict[str, str]:
        """Return what became of each run, by key."""
        with self._open() as connection:
            return dict(connection.execute("SELECT key, status FROM runs").fetchall())

    def write_facts(self, facts: Mapping[str, Any]) -> None:
        """Store JSON-able facts about the study, over older ones of the same names."""
        pairs = [(name, json.dumps(value)) for name, value in facts.items()]
        with self._open() as connection:
            connection.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", pairs)

    def facts(self) -> dict[str, Any]:
        """Return the facts."""
        with self._open() as connection:
            return {name: json.loads(value) for name, value in connection.execute("SELECT name, value FROM facts")}

    def picture_path(self, key: str, name: str) -> Path:
        """Return where a run's picture is."""
        return self.folder / PICTURES / key / name

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """Open the table for one transaction."""
        path = self.folder / FILE
        try:
            connection = sqlite3.connect(path, timeout=30)
            try:
                with connection:
                    yield connection
            finally:
                connection.close()
        except sqlite3.Error as error:
            raise BadFile(
                f"{path} cannot be used as a study's table ({error}); choose another folder with -o"
            ) from error


def flatten(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Return one flat mapping a run, scores and settings each in a column of their own."""
    flat = []
    for row in rows:
        settings = {f"setting.{name}": value for name, value in _dotted(row.spec["recipe"]).items()}
        scores = {f"score.{name}": value for name, value in row.scores.items()}
        plain = {name: getattr(row, name) for name in _COLUMNS if name not in _JSON}
        flat.append({**plain, "base": row.spec["base"], **scores, **settings})
    return flat


def write_csv(rows: Iterable[Row], path: Path) -> None:
    """Write the runs as comma-separated values."""
    flat = flatten(rows)
    names = list(dict.fromkeys(name for row in flat for name in row))
    with write_aside(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(flat)


def write_parquet(rows: Iterable[Row], path: Path) -> None:
    """Write the runs as Parquet.

    Raises:
        MissingExtra: If pyarrow is not installed.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise MissingExtra("parquet", "pyarrow") from error
    flat = flatten(rows)
    names = list(dict.fromkeys(name for row in flat for name in row))
    columns = {name: _one_type([row.get(name) for row in flat]) for name in names}
    with write_aside(path) as temporary:
        parquet.write_table(pyarrow.table(columns), temporary)


def _row(values: tuple[Any, ...]) -> Row:
    content = dict(zip(_COLUMNS, values, strict=True))
    content.update({name: json.loads(content[name]) for name in _JSON})
    content["curve"] = tuple(CurvePoint(**point) for point in content["curve"])
    return Row(**content)


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
