"""What whoever started a job holds on to: how far it is, and a way to stop it."""

from collections.abc import Callable

from portraitist.errors import Stopped
from portraitist.requests.value import Value
from portraitist.training.loop.interrupts import Stop


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

    Attributes:
        progress: How far the job is; None before its first report.
        stopping: Whether somebody asked to stop; a training loop looks at it after every step.
    """

    def __init__(self, listener: Callable[[Progress], None] | None = None) -> None:
        self.progress: Progress | None = None
        self._listener = listener
        self.stopping = Stop()

    def stop(self) -> None:
        """Ask the job to stop after the step in hand."""
        self.stopping.is_set = True

    def tell(self, stage: str, done: int, total: int) -> None:
        """Note how far the job is; called by a job that ends by itself when it is asked to."""
        self.progress = Progress(stage=stage, done=done, total=total)
        if self._listener is not None:
            self._listener(self.progress)

    def report(self, stage: str, done: int, total: int) -> None:
        """Note how far the job is, and end it there if it is to stop; called by the job.

        Raises:
            Stopped: If somebody asked to stop.
        """
        self.tell(stage, done, total)
        if self.stopping.is_set and done < total:
            raise Stopped(stage, done, total)
