"""The results on disk: one JSON file that grows piece by piece, and the page written from it."""

import json
from pathlib import Path
from typing import Any

from benchmarks.page import write_page
from portraitist.files import write_aside

FILE = Path("docs/results/speed.json")


def add_results(section: str, entries: dict[str, dict[str, Any]]) -> None:
    """Add entries to a section and write the page again.

    An older entry of the same name gives way, unless it came of the same command on the same machine: then the rounds
    of both count.
    """
    content = json.loads(FILE.read_text()) if FILE.exists() else {}
    older = content.get(section, {})
    content[section] = {**older, **{name: _joined(older.get(name), entry) for name, entry in entries.items()}}
    with write_aside(FILE) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n")
    write_page(content, FILE.parent)


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
