"""Facts about stages, in one JSON file that grows as they end."""

import json
from collections.abc import Mapping
from pathlib import Path

from portraitist.files import write_aside
from portraitist.locks import held

REPORT = "report.json"
Facts = Mapping[str, float]
_PATIENCE = 60.0  # seconds


def read_report(folder: Path) -> dict[str, dict[str, float]]:
    """Return the facts about every stage that has any."""
    path = folder / REPORT
    return json.loads(path.read_text()) if path.exists() else {}


def add_facts(folder: Path, stage: str, facts: Facts) -> None:
    """Write facts about a stage down, over older ones of the same name; other processes may do so for other stages."""
    with held(folder, "writing facts", REPORT, patience=_PATIENCE):
        report = read_report(folder)
        report.setdefault(stage, {}).update(facts)
        with write_aside(folder / REPORT) as temporary:
            temporary.write_text(json.dumps(report, indent=2) + "\n")
