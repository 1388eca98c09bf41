"""Where a run writes: the adapter file, and the folder beside it that an interrupted run continues from."""

import re
import shutil
from pathlib import Path

from portraitist.errors import BadConfig, BadFile
from portraitist.files import require_writable
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


def check_output(output: str | Path | None, resume: bool = False, overwrite: bool = False) -> Path | None:
    """Check, before work starts, that the adapter file can be written and nothing is lost by it.

    Returns:
        Its path; None if nothing is to be written.

    Raises:
        BadConfig: If the name cannot be an adapter file's.
        BadFile: If the file, or an interrupted run, is there already.
        UnwritableFolder: If the folder cannot be written.
    """
    if output is None:
        return None
    output = Path(output)
    if output.suffix != SUFFIX:
        raise BadConfig(f"an adapter file ends in {SUFFIX}, which {output} does not")
    if output.is_dir():
        raise BadFile(f"{output} is a folder; name a file with -o")
    if output.exists() and not overwrite:
        raise BadFile(f"{output} exists already; choose another file with -o, or use --overwrite")
    if is_interrupted(output) and not (resume or overwrite):
        raise BadFile(
            f"{run_folder(output)} holds an interrupted run; continue it with --resume, or start over with --overwrite"
        )
    require_writable(output.parent)
    return output


def remove_run(output: Path, keep_log: bool = False) -> None:
    """Remove the checkpoints of a finished run, and its folder unless there is something to look at.

    Curves, sheets of samples, adapters of steps on the way, the log beside them and what trackers wrote stay.

    Args:
        output: The adapter file.
        keep_log: The log alone is something to look at.
    """
    folder = run_folder(output)
    passing = (LAST, BEST) if keep_log else (LAST, BEST, LOG)
    kept = [path for path in folder.glob("*") if path.name not in passing]
    if not kept:
        shutil.rmtree(folder, ignore_errors=True)
    for name in (LAST, BEST):
        (folder / name).unlink(missing_ok=True)
