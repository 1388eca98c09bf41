"""Running a study: what is missing is run, what is done is kept, and the folder always holds a usable state."""

import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from portraitist import __version__
from portraitist.bases import Base, load_base
from portraitist.errors import BadConfig
from portraitist.files import require_writable
from portraitist.progress import track
from portraitist.studies.grid.drawing import DrawnSubjects
from portraitist.studies.grid.planning import Cell, plan, unique_specs
from portraitist.studies.grid.specs import RunSpec
from portraitist.studies.grid.study import Study
from portraitist.studies.runs.executors import EXECUTORS
from portraitist.studies.runs.files import read_runs
from portraitist.studies.runs.scoring import Scorer, has_encoder, make_scorer
from portraitist.studies.runs.table import RunTable
from portraitist.workers import find_executor

_LIBRARIES = ("torch", "diffusers", "transformers", "safetensors", "numpy")
_SUBJECTS = "subjects"
_ROOM_PER_RUN = 500_000  # bytes of a run's small pictures and its row


@dataclass(frozen=True)
class Prepared:
    """A study checked against its base, with every run that it needs.

    Attributes:
        study: The study.
        cells: All cells in the order of running.
        scorer: Who scores.
        table: Where records go.
    """

    study: Study
    cells: tuple[Cell, ...]
    scorer: Scorer
    table: RunTable

    @property
    def specs(self) -> list[RunSpec]:
        """Return the runs, each once."""
        return unique_specs(self.cells)

    def missing(self, retry_failed: bool = False) -> list[RunSpec]:
        """Return the runs that are not in the table; with `retry_failed`, also those that failed."""
        statuses = self.table.statuses()
        kept = {"done"} if retry_failed else {"done", "failed"}
        return [spec for spec in self.specs if statuses.get(spec.key) not in kept]

    @property
    def failed(self) -> int:
        """Return how many runs in the table failed."""
        statuses = self.table.statuses()
        return sum(statuses.get(spec.key) == "failed" for spec in self.specs)


def prepare(study: Study, folder: Path) -> Prepared:
    """Load the base and the scorer, resolve every recipe, open the table.

    Raises:
        PortraitistError: If anything in the study cannot work, before a run is made.
    """
    base = load_base(study.base)
    licences = study.subjects.licences() if isinstance(study.subjects, DrawnSubjects) else []
    study = settle(study, folder, base)
    scorer = make_scorer(study.scorer, study.encoders, study.metrics)
    cells = plan(study, base, scorer.identity())
    require_writable(folder, _ROOM_PER_RUN * len(unique_specs(cells)))
    table = RunTable(folder)
    earlier = table.facts()
    _require_same_study(study, earlier, folder)
    table.write_facts({**study_facts(study, base, scorer, earlier), "licences": licences})
    return Prepared(study, tuple(cells), scorer, table)


def settle(study: Study, folder: Path, base: Base) -> Study:
    """Return a study with its subjects drawn into its folder, and without metrics whose encoders are not here."""
    if isinstance(study.subjects, DrawnSubjects):
        require_writable(folder)
        subjects = study.subjects.paint((folder / _SUBJECTS).absolute(), base.family.resolution)
        study = study.model_copy(update={"subjects": subjects})
    missing = [name for name in study.spare_metrics if not has_encoder(study.scorer, study.encoders, name)]
    return study.model_copy(update={"metrics": tuple(name for name in study.metrics if name not in missing)})


def _require_same_study(study: Study, earlier: Mapping[str, Any], folder: Path) -> None:
    """Refuse to write a study's report and facts over those of another."""
    title = earlier.get("study", {}).get("title", study.title)
    if title != study.title:
        raise BadConfig(
            f"{folder} holds the study {title!r}, not {study.title!r}; choose another folder with -o"
            f" (--from {folder} takes over runs that both have)"
        )


def take_over(prepared: Prepared, source: Path) -> int:
    """Take runs of this study that were finished elsewhere, and are missing here, and return how many there were.

    Args:
        prepared: The study that goes on.
        source: Another folder of the study, or the ``runs.csv`` of one; pictures are taken from beside it.

    Raises:
        PortraitistError: If there is no table of runs.
    """
    taken = 0
    for outcome, finished in read_runs(source, prepared.missing(retry_failed=True)):
        prepared.table.record(outcome, finished)
        taken += 1
    if taken:
        prepared.table.write_facts({"taken_over": prepared.table.facts().get("taken_over", 0) + taken})
    return taken


def run_study(
    prepared: Prepared,
    executor: str = "local",
    workers: int = 1,
    device: str = "cpu",
    retry_failed: bool = False,
    after_run: Callable[[], None] = lambda: None,
) -> None:
    """Make the runs that are missing.

    Args:
        prepared: The study.
        executor: ``local`` or ``ray``.
        workers: How many runs at once.
        device: Where models go.
        retry_failed: Make failed runs again.
        after_run: Called after every run.

    Raises:
        KeyboardInterrupt: On Ctrl-C; the records that are written stay, and the next call goes on from them.
    """
    make = find_executor(executor, EXECUTORS)
    missing = prepared.missing(retry_failed)
    prepared.table.write_facts({"workers": f"{workers}, {executor}", "device": device})
    total = len(prepared.specs)
    failed = 0
    with track(total, "runs", completed=total - len(missing)) as progress:
        for outcome in make(missing, workers, device) if missing else ():
            prepared.table.record(outcome)
            failed += outcome.status == "failed"
            progress.advance(1, **({"failed": failed} if failed else {}))
            after_run()


def study_facts(study: Study, base: Base, scorer: Scorer, earlier: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the report says of the study at its end.

    The hypothesis that was written first stays, as does every set of versions that runs were made with.
    """
    versions = library_versions()
    known = earlier.get("all_versions", [])
    return {
        "first_hypothesis": earlier.get("first_hypothesis", study.hypothesis),
        "all_versions": known if versions in known else [*known, versions],
        "study": study.model_dump(mode="json", by_alias=True),
        "base": {"name": base.name, "fingerprint": base.fingerprint, "family": base.family.name},
        "scorer": dict(scorer.identity()),
        "metrics": [asdict(metric) for metric in scorer.metrics()],
        "machine": machine_words(),
    }


def library_versions() -> dict[str, str]:
    """Return the versions of this package, Python, and the libraries that results depend on."""
    libraries = {name: version(name) for name in _LIBRARIES}
    return {"portraitist": __version__, "python": platform.python_version(), **libraries}


def machine_words() -> str:
    """Say in a few words what machine this is."""
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"


def default_workers(device: str) -> int:
    """Return how many runs to make at once: one a core, or one on an accelerator."""
    return 1 if device != "cpu" else max(1, len(_available_cores()))


def _available_cores() -> Sequence[int]:
    """Return the cores this process may use."""
    try:
        return sorted(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return range(os.cpu_count() or 1)
