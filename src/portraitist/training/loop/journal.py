"""What a run writes while it goes on: JSON lines in its folder, and accelerate's trackers."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers

from portraitist.errors import BadConfig, MissingExtra
from portraitist.training.loop.files import LOG

_PROJECT = "portraitist"


class Journal:
    """Lines of numbers by step.

    Args:
        folder: Where ``log.jsonl`` and trackers' files go; None keeps the lines in memory only.
        trackers: Names of accelerate's trackers.
        facts: What the trackers are told about the run.

    Raises:
        BadConfig: If a tracker is not known.
        MissingExtra: If its library is not installed.
    """

    def __init__(
        self, folder: Path | None, trackers: Sequence[str] = (), facts: Mapping[str, Any] | None = None
    ) -> None:
        self.folder = folder
        self.lines: list[dict[str, float]] = []
        for name in trackers:
            _check_tracker(name)
        self._trackers, self._facts = list(trackers), _flat(facts or {})
        self._accelerator: Accelerator | None = None

    def start(self, completed: int) -> None:
        """Begin, or go on after some completed steps: lines of steps that will be taken again are dropped."""
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            file = self.folder / LOG
            if file.exists():
                self.lines = [line for line in _read_lines(file) if line["step"] <= completed] if completed else []
                file.write_text("".join(json.dumps(line) + "\n" for line in self.lines))
        if self._trackers:
            self._accelerator = Accelerator(log_with=self._trackers, project_dir=self.folder or ".")
            self._accelerator.init_trackers(_PROJECT, self._facts)

    def write(self, line: dict[str, float]) -> None:
        """Write one line; it holds its ``step``."""
        self.lines.append(line)
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            with (self.folder / LOG).open("a") as file:
                file.write(json.dumps(line) + "\n")
        if self._accelerator is not None:
            values = {name: value for name, value in line.items() if name != "step"}
            self._accelerator.log(values, step=int(line["step"]))

    def close(self) -> None:
        """Let the trackers finish writing."""
        if self._accelerator is not None:
            for tracker in self._accelerator.trackers:
                tracker.finish()


def _read_lines(file: Path) -> Iterator[dict[str, float]]:
    """Read a log; a line that was cut off when its process ended is left out."""
    for text in file.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict) and "step" in line:
            yield line


def _check_tracker(name: str) -> None:
    if name not in LOGGER_TYPE_TO_CLASS:
        raise BadConfig(f"no tracker is named {name!r}; accelerate knows {', '.join(sorted(LOGGER_TYPE_TO_CLASS))}")
    if name not in [str(tracker) for tracker in get_available_trackers()]:
        if name == "tensorboard":
            raise MissingExtra("tensorboard", "tensorboard")
        raise BadConfig(f"the tracker {name!r} needs its package; install it, or leave it out of log.trackers")


def _flat(facts: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Return nested facts as single values by dotted names, as trackers want them."""
    flat: dict[str, Any] = {}
    for name, value in facts.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{path}{name}.")
        else:
            flat[f"{path}{name}"] = value if isinstance(value, int | float | str | bool) else str(value)
    return flat
