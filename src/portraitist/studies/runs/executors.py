"""Where runs are made: in this process, in several, or on a Ray cluster. Each yields outcomes as they come."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial

from pebble import ProcessExpired

from portraitist.errors import WorkerLost
from portraitist.studies.grid.specs import RunSpec
from portraitist.studies.runs.outcome import RunOutcome, failure
from portraitist.studies.runs.processes import ENDED, in_processes
from portraitist.studies.runs.running import execute
from portraitist.workers import begin_worker, on_cluster

Executor = Callable[[Sequence[RunSpec], int, str], Iterator[RunOutcome]]


def run_local(specs: Sequence[RunSpec], workers: int, device: str) -> Iterator[RunOutcome]:
    """Make runs in several processes; with one worker, in this process.

    A run whose process is ended from outside is made once more.
    """
    if workers == 1:
        yield from run_here(specs, device)
        return
    for spec, future in in_processes(partial(execute, device=device), specs, workers):
        outcome = _outcome(spec, future)
        if outcome.status != "stopped":
            yield outcome


def run_here(specs: Sequence[RunSpec], device: str) -> Iterator[RunOutcome]:
    """Make runs one after the other in this process."""
    for spec in specs:
        outcome = execute(spec, device)
        if outcome.status == "stopped":
            raise KeyboardInterrupt
        yield outcome


def run_ray(specs: Sequence[RunSpec], workers: int, device: str) -> Iterator[RunOutcome]:
    """Make runs on the Ray cluster named by ``RAY_ADDRESS``, or on one of this machine with so many workers.

    Every node needs the package, and the base and photos under the same paths. With a GPU device each run takes one.

    Raises:
        MissingExtra: If Ray is not installed.
    """
    gpu = device.startswith("cuda")
    for spec, future in on_cluster(execute_alone, specs, device, gpu=gpu, retries=1, workers=workers):
        outcome = _outcome(spec, future)
        if outcome.status != "stopped":
            yield outcome


def execute_alone(spec: RunSpec, device: str) -> RunOutcome:
    """Make a run in a process of a cluster."""
    begin_worker()
    return execute(spec, device)


EXECUTORS: dict[str, Executor] = {"local": run_local, "ray": run_ray}


def _outcome(spec: RunSpec, future: Future[RunOutcome]) -> RunOutcome:
    """Return what came of a run in another process, if only that it failed there, or its process was ended."""
    error = future.exception()
    if error is None:
        return future.result()
    return failure(spec, ENDED if isinstance(error, ProcessExpired | WorkerLost) else error)
