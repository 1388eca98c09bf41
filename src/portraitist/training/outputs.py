"""Where a run writes: the adapter file, and the folder beside it that an interrupted run continues from.

Needs no torch.
"""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from portraitist.adapters.description import read_header
from portraitist.adapters.outline import read_outline
from portraitist.errors import BadConfig, BadFile
from portraitist.files import remove_folder, remove_leftovers, require_name, require_writable
from portraitist.locks import held, lock_file
from portraitist.training.loop.files import BEST, LAST, LOG

SUFFIX = ".safetensors"


def run_folder(output: Path) -> Path:
    """Return the folder of checkpoints and log, ``<output>.run``."""
    return output.with_name(output.name + ".run")


def step_file(folder: Path, step: int) -> Path:
    """Return the file of the adapter after so many steps, in a run's folder."""
    return folder / f"step-{step}{SUFFIX}"


def step_files(folder: Path) -> list[tuple[int, Path]]:
    """Return the adapters in a run's folder with their steps, the earliest first."""
    found = ((re.fullmatch(rf"step-(\d+){re.escape(SUFFIX)}", path.name), path) for path in folder.glob("*"))
    return sorted((int(match[1]), path) for match, path in found if match)


def is_interrupted(output: Path) -> bool:
    """Say whether a run of this file was interrupted and can be resumed."""
    return (run_folder(output) / LAST).exists()


def is_finished(output: Path) -> bool:
    """Say whether a file was written by the run whose checkpoints are still beside it, which was killed right then."""
    try:
        run = json.loads(read_outline(run_folder(output) / LAST).metadata["run"])
        noted = read_header(output)["training"]
        return bool((noted["steps"], noted["seconds"]) == (run["step"], round(run["counters"]["seconds"], 1)))
    except (BadFile, KeyError, TypeError, ValueError, RecursionError):
        return False


def check_output(output: str | Path | None, resume: bool = False, overwrite: bool = False) -> Path | None:
    """Check, before work starts, that the adapter file can be written and nothing is lost by it.

    Returns:
        Its path; None if nothing is to be written.

    Raises:
        BadConfig: If the name cannot be an adapter file's.
        BadFile: If the file, or an interrupted run, is there already; a finished run may be resumed.
        UnwritableFolder: If the folder cannot be written, or has no room for such a name.
    """
    if output is None:
        return None
    output = Path(output)
    if output.suffix != SUFFIX:
        raise BadConfig(f"an adapter file ends in {SUFFIX}, which {output} does not")
    require_name(run_folder(output))
    if output.is_dir():
        raise BadFile(f"{output} is a folder; name a file with -o")
    if os.path.lexists(output) and not overwrite and not (resume and is_finished(output)):  # also a link to nothing
        raise BadFile(f"{output} exists already; choose another file with -o, or use --overwrite")
    if is_interrupted(output) and not (resume or overwrite):
        raise BadFile(
            f"{run_folder(output)} holds an interrupted run; continue it with --resume, or start over with --overwrite"
        )
    require_writable(output.parent)
    return output


@contextmanager
def locked(output: Path) -> Iterator[None]:
    """Hold a file that is being trained against other runs; see `portraitist.locks.held`."""
    folder = run_folder(output)
    try:
        with held(folder, "a training", shown=output, instead="choose another file with -o"):
            yield
    finally:
        with suppress(OSError):  # there is something to look at in it, or another run has just begun
            folder.rmdir()


def remove_run(output: Path, keep_log: bool = False) -> None:
    """Remove the checkpoints of a finished run, and its folder unless there is something to look at.

    Curves, sheets of samples, adapters of steps on the way, the log beside them and what trackers wrote stay.

    Args:
        output: The adapter file.
        keep_log: The log alone is something to look at.
    """
    folder = run_folder(output)
    for place in (output.parent, folder):  # by this run, when it was killed
        remove_leftovers(place)
    passing = {LAST, BEST, lock_file(folder).name} | (set() if keep_log else {LOG})
    if all(path.name in passing for path in folder.glob("*")):
        remove_folder(folder)
    for name in (BEST, LAST):  # which tells that the run is to be finished, until nothing else is left to do
        (folder / name).unlink(missing_ok=True)
