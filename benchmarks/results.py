"""The results on disk: JSON files that grow piece by piece, and the pages written from them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.page import speed_pages
from portraitist.files import write_aside

_FOLDER = Path("docs/results")
_SPEED = "speed"


def read_results(name: str) -> dict[str, Any]:
    """Return what was measured before under a name; nothing when it is the first time."""
    file = _FOLDER / f"{name}.json"
    return dict(json.loads(file.read_text())) if file.exists() else {}


def write_results(name: str, content: Mapping[str, Any], pages: Mapping[str, str]) -> None:
    """Write what was measured, and the pages that show it, by file name."""
    for file, text in {f"{name}.json": json.dumps(content, indent=1) + "\n", **pages}.items():
        with write_aside(_FOLDER / file) as temporary:
            temporary.write_text(text)


def add_results(section: str, entries: dict[str, dict[str, Any]]) -> None:
    """Add entries to a section of the speeds and write their page again.

    An older entry of the same name gives way, unless it came of the same command on the same machine: then the rounds
    of both count.
    """
    content = read_results(_SPEED)
    older = content.get(section, {})
    content[section] = {**older, **{name: _joined(older.get(name), entry) for name, entry in entries.items()}}
    write_results(_SPEED, content, speed_pages(content))


def _joined(older: dict[str, Any] | None, newer: dict[str, Any]) -> dict[str, Any]:
    facts = ("command", "machine", "threads", "torch")
    if older is None or "step" not in newer or any(older[fact] != newer[fact] for fact in facts):
        return newer
    joined = dict(newer)
    for key in ("step", "floor"):
        joined[key] = {
            "memory": max(older[key]["memory"], newer[key]["memory"]),
            **{name: older[key][name] + newer[key][name] for name in ("seconds", "processor_seconds")},
        }
    return joined
