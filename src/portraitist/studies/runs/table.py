"""The table of a study's runs: one row a run in SQLite, the pictures beside it in a folder."""

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from portraitist.errors import BadFile
from portraitist.files import write_aside
from portraitist.studies.runs.outcome import CurvePoint, RunOutcome

FILE, PICTURES = "runs.sqlite", "pictures"
_COLUMNS = {
    "key": "TEXT PRIMARY KEY",
    "status": "TEXT NOT NULL",
    "error": "TEXT NOT NULL",
    "method": "TEXT NOT NULL",
    "subject": "TEXT NOT NULL",
    "seed": "INTEGER NOT NULL",
    "parameters": "INTEGER",
    "file_bytes": "INTEGER",
    "training_seconds": "REAL",
    "total_seconds": "REAL",
    "finished": "TEXT NOT NULL",
    "scores": "TEXT NOT NULL",
    "curve": "TEXT NOT NULL",
    "spec": "TEXT NOT NULL",
    "prompt_scores": "TEXT NOT NULL DEFAULT '{}'",
}
_JSON = ("scores", "curve", "spec", "prompt_scores")
_LATER = ("prompt_scores",)  # columns that tables of earlier versions lack


@dataclass(frozen=True)
class RunRecord:
    """A run that was made; fields as in `portraitist.studies.runs.outcome.RunOutcome`, `finished` in ISO 8601."""

    key: str
    status: str
    error: str
    method: str
    subject: str
    seed: int
    parameters: int | None
    file_bytes: int | None
    training_seconds: float | None
    total_seconds: float | None
    finished: str
    scores: Mapping[str, float]
    curve: tuple[CurvePoint, ...]
    spec: Mapping[str, Any]
    prompt_scores: Mapping[str, Sequence[float]]


class RunTable:
    """The runs of a study in a folder; every record is on disk once `record` returns."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        with self._open() as connection:
            columns = ", ".join(f"{name} {kind}" for name, kind in _COLUMNS.items())
            connection.execute(f"CREATE TABLE IF NOT EXISTS runs ({columns})")
            connection.execute("CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL)")
            _add_later_columns(connection)
            connection.execute(
                f"SELECT {', '.join(_COLUMNS)} FROM runs LIMIT 0"
            )  # one of an earlier version has others

    def record(self, outcome: RunOutcome, finished: str | None = None) -> None:
        """Write a run's pictures, then its row; an older row of the same run is replaced.

        Args:
            outcome: The run.
            finished: When it ended, in ISO 8601; now when not given.
        """
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
            "file_bytes": outcome.file_bytes,
            "training_seconds": outcome.training_seconds,
            "total_seconds": outcome.total_seconds,
            "finished": finished or datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "scores": json.dumps(outcome.scores),
            "curve": json.dumps([asdict(point) for point in outcome.curve]),
            "spec": json.dumps(asdict(spec)),
            "prompt_scores": json.dumps(outcome.prompt_scores),
        }
        marks = ", ".join("?" * len(_COLUMNS))
        with self._open() as connection:
            connection.execute(f"INSERT OR REPLACE INTO runs VALUES ({marks})", [values[name] for name in _COLUMNS])

    def records(self) -> dict[str, RunRecord]:
        """Return all runs by key."""
        with self._open() as connection:
            found = connection.execute(f"SELECT {', '.join(_COLUMNS)} FROM runs").fetchall()
            return {record.key: record for record in map(_record, found)}

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
        except (sqlite3.Error, ValueError, TypeError, RecursionError) as error:  # of the file, or of what stands in it
            said = " ".join(str(error).split())[:200]
            raise BadFile(
                f"{path} cannot be used as a study's table ({said}); choose another folder with -o, and take finished"
                f" runs over with --from {self.folder}"
            ) from error


def _add_later_columns(connection: sqlite3.Connection) -> None:
    """Give a table of an earlier version what it lacks; any other table is left as it is."""
    known = {row[1] for row in connection.execute("PRAGMA table_info(runs)")}
    lacking = [name for name in _LATER if name not in known]
    if known.union(lacking) == set(_COLUMNS):
        for name in lacking:
            connection.execute(f"ALTER TABLE runs ADD COLUMN {name} {_COLUMNS[name]}")


def _record(values: tuple[Any, ...]) -> RunRecord:
    content = dict(zip(_COLUMNS, values, strict=True))
    content.update({name: json.loads(content[name]) for name in _JSON})
    content["curve"] = tuple(CurvePoint(**point) for point in content["curve"])
    return RunRecord(**content)
