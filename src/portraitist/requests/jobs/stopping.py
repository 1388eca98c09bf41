"""Stopping a training run on request, so that it can be continued."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from portraitist.errors import Stopped, TrainingInterrupted
from portraitist.training.outputs import is_interrupted, run_folder


@contextmanager
def resumable(file: Path, steps: int) -> Iterator[None]:
    """Turn a stop into an interruption that says where the last checkpoint is.

    Args:
        file: The adapter file of the run.
        steps: All steps of the run.

    Raises:
        TrainingInterrupted: If the run was stopped.
    """
    try:
        yield
    except Stopped as stopped:
        folder = run_folder(file) if is_interrupted(file) else None
        raise TrainingInterrupted(f"step {stopped.done} of {steps}", folder) from stopped
