"""What whoever started a job holds on to: how far it is, and a way to stop it."""

import threading
from collections.abc import Callable

from portraitist.errors import Stopped
from portraitist.requests.value import Value


class Progress(Value):
    """How far a job is.

    Attributes:
        stage: What is being done, e.g. ``training``.
        done: Steps or pictures done.
        total: How many there are.
    """

    stage: str
    done: int
    total: int


class Handle:
    """A job's progress and a request to stop it; may be used from another thread than the job's.

    Args:
        listener: Called with every progress, in the job's thread.
    """

    def __init__(self, listener: Callable[[Progress], None] | None = None) -> None:
        self.progress: Progress | None = None
        self._listener = listener
        self._stop = threading.Event()

    def stop(self) -> None:
        """Ask the job to stop after the step in hand."""
        self._stop.set()

    def report(self, stage: str, done: int, total: int) -> None:
        """Note how far the job is; called by the job.

        Raises:
            Stopped: If somebody asked to stop.
        """
        self.progress = Progress(stage=stage, done=done, total=total)
        if self._listener is not None:
            self._listener(self.progress)
        if self._stop.is_set() and done < total:
            raise Stopped(stage, done, total)
