"""Where a run writes: the adapter file, and the folder beside it that an interrupted run continues from.

Needs no torch.
"""

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from portraitist.adapters.description import read_header
from portraitist.adapters.outline import read_outline
from portraitist.errors import BadConfig, BadFile, UnwritableFolder
from portraitist.files import remove_leftovers, require_name, require_writable
from portraitist.training.loop.files import BEST, LAST, LOG

SUFFIX = ".safetensors"
_LOCK = ".lock"


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
    if output.exists() and not overwrite and not (resume and is_finished(output)):
        raise BadFile(f"{output} exists already; choose another file with -o, or use --overwrite")
    if is_interrupted(output) and not (resume or overwrite):
        raise BadFile(
            f"{run_folder(output)} holds an interrupted run; continue it with --resume, or start over with --overwrite"
        )
    require_writable(output.parent)
    return output


@contextmanager
def locked(output: Path) -> Iterator[None]:
    """Hold a file that is being trained against other runs; the lock of a run that was killed is none.

    Raises:
        BadFile: If another run trains it.
        UnwritableFolder: If the folder of the run cannot be made.
    """
    folder = run_folder(output)
    lock = FileLock(folder / _LOCK, timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise BadFile(f"another run is training {output}; wait for it, or choose another file with -o") from error
    except OSError as error:
        raise UnwritableFolder(f"cannot write {folder}: {error.strerror}; choose another place with -o") from error
    try:
        yield
    finally:
        with suppress(OSError):
            (folder / _LOCK).unlink(missing_ok=True)
        lock.release()
        with suppress(OSError):  # there is more in it, or another run has just begun
            folder.rmdir()


def remove_run(output: Path, keep_log: bool = False) -> None:
    """Remove the checkpoints of a finished run, and its folder unless there is something to look at.

    Curves, sheets of samples, adapters of steps on the way, the log beside them and what trackers wrote stay.

    Args:
        output: The adapter file.
        keep_log: The log alone is something to look at.
    """
    folder = run_folder(output)
    remove_leftovers(folder)
    passing = (LAST, BEST, _LOCK) if keep_log else (LAST, BEST, LOG, _LOCK)
    kept = [path for path in folder.glob("*") if path.name not in passing]
    if not kept:
        shutil.rmtree(folder, ignore_errors=True)
    for name in (LAST, BEST):
        (folder / name).unlink(missing_ok=True)
