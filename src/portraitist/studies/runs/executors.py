"""Where runs are made: in this process, in several, or on a Ray cluster. Each yields outcomes as they come."""

import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any

import torch
from pebble import ProcessExpired

from portraitist.errors import BadConfig, MissingExtra
from portraitist.studies.grid.specs import RunSpec
from portraitist.studies.runs.outcome import RunOutcome, failure
from portraitist.studies.runs.processes import ENDED, in_processes
from portraitist.studies.runs.running import execute

Executor = Callable[[Sequence[RunSpec], int, str], Iterator[RunOutcome]]


def run_local(specs: Sequence[RunSpec], workers: int, device: str) -> Iterator[RunOutcome]:
    """Make runs in several processes; with one worker, in this process.

    A run whose process is ended from outside is made once more.
    """
    if workers == 1:
        yield from run_here(specs, device)
        return
    for spec, future in in_processes(partial(execute, device=device), specs, workers):
        error = future.exception()
        outcome = future.result() if error is None else failure(spec, _reason(error))
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
    try:
        import ray
    except ImportError as error:
        raise MissingExtra("ray", "ray") from error
    address = os.environ.get("RAY_ADDRESS")
    own: dict[str, Any] = {} if address else {"num_cpus": workers, "include_dashboard": False}
    started = not ray.is_initialized()
    if started:
        ray.init(address=address, log_to_driver=False, **own)
    needs: dict[str, Any] = {"num_cpus": 1, "num_gpus": 1 if device.startswith("cuda") else 0, "max_retries": 1}
    remote = ray.remote(**needs)(execute_alone)
    waiting = iter(specs)
    running = {remote.remote(spec, device): spec for spec in islice(waiting, workers)}
    try:
        while running:
            (finished, *_), _ = ray.wait(list(running), num_returns=1)
            spec = running.pop(finished)
            try:
                outcome = ray.get(finished)
            except ray.exceptions.RayTaskError as error:
                outcome = failure(spec, error.cause)
            except ray.exceptions.RayError:
                outcome = failure(spec, ENDED)
            if outcome.status != "stopped":
                yield outcome
            following = next(waiting, None)
            if following is not None:
                running[remote.remote(following, device)] = following
    finally:
        for reference in running:
            ray.cancel(reference)
        if started:
            ray.shutdown()


def execute_alone(spec: RunSpec, device: str) -> RunOutcome:
    """Make a run with one thread, so that processes do not fight over cores."""
    torch.set_num_threads(1)
    return execute(spec, device)


EXECUTORS: dict[str, Executor] = {"local": run_local, "ray": run_ray}


def get_executor(name: str) -> Executor:
    """Return an executor by name.

    Raises:
        BadConfig: If there is none, naming those there are.
    """
    if name not in EXECUTORS:
        raise BadConfig(f"no executor is named {name!r}; there are: {', '.join(EXECUTORS)}")
    return EXECUTORS[name]


def _reason(error: BaseException) -> BaseException | str:
    return ENDED if isinstance(error, ProcessExpired) else error
