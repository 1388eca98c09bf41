"""Where runs are made: in this process, in several, or on a Ray cluster. Each yields outcomes as they come."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, as_completed, wait
from concurrent.futures.process import BrokenProcessPool
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from portraitist.errors import BadConfig, MissingExtra

if TYPE_CHECKING:
    from portraitist.bases import Base
    from portraitist.studies.grid.planning import RunSpec
    from portraitist.studies.runs.running import RunOutcome

T = TypeVar("T")
Outcomes = Iterator["RunOutcome"]
Executor = Callable[[Sequence["RunSpec"], int, str], Outcomes]
_ENDED = "the process of this run was ended from outside, as when memory runs out; try fewer workers"


def run_here(specs: Sequence["RunSpec"], device: str) -> Outcomes:
    """Make runs one after the other in this process."""
    from portraitist.studies.runs.running import execute

    for spec in specs:
        outcome = execute(spec, device)
        if outcome.status == "stopped":
            raise KeyboardInterrupt
        yield outcome


def run_local(specs: Sequence["RunSpec"], workers: int, device: str) -> Outcomes:
    """Make runs in several processes of one torch thread each; with one worker, in this process.

    When a process is ended from outside, its run and those beside it fail, and new processes take over.
    """
    if workers == 1:
        yield from run_here(specs, device)
        return
    waiting = deque(specs)
    while waiting:
        yield from _run_pool(waiting, workers, device)


def _run_pool(waiting: deque["RunSpec"], workers: int, device: str) -> Outcomes:
    """Make runs until none is waiting, or until a process is ended from outside."""
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=begin_worker)
    running: dict[Future[RunOutcome], RunSpec] = {}
    try:
        works = _submit(pool, running, waiting, workers, device)
        while running:
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                spec = running.pop(future)
                try:
                    outcome = future.result()
                except BrokenProcessPool:
                    works = False
                    outcome = _failed(spec, _ENDED)
                except Exception as error:  # raised before the run could begin, as by a broken installation
                    outcome = _failed(spec, f"{type(error).__name__}: {error}")
                if outcome.status != "stopped":
                    yield outcome
            works = works and _submit(pool, running, waiting, workers, device)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _submit(
    pool: ProcessPoolExecutor,
    running: dict["Future[RunOutcome]", "RunSpec"],
    waiting: deque["RunSpec"],
    workers: int,
    device: str,
) -> bool:
    """Give every idle process a run; say whether the pool still works."""
    while waiting and len(running) < workers:
        try:
            future = pool.submit(execute_alone, waiting[0], device)
        except BrokenProcessPool:
            return False
        running[future] = waiting.popleft()
    return True


def begin_worker() -> None:
    """Leave Ctrl-C and the terminal to the process that started this one, end with it, and take one thread only."""
    import torch

    from portraitist.progress import console, quiet_libraries

    threading.Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    quiet_libraries()
    console.quiet = True


def _end_with_parent() -> None:
    """Wait for the process that started this one; were it killed, this one would wait for work, and hold its memory."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@lru_cache(maxsize=1)
def base_of_process(name: str, device: str) -> "Base":
    """Load the base of a process' work, once."""
    from portraitist.bases import load_base
    from portraitist.progress import quiet_libraries

    quiet_libraries()
    return load_base(name, device)


def execute_alone(spec: "RunSpec", device: str) -> "RunOutcome":
    """Make a run with one thread, so that processes do not fight over cores."""
    import torch

    from portraitist.studies.runs.running import execute

    torch.set_num_threads(1)
    return execute(spec, device)


def spread(work: Callable[[T], None], items: Sequence[T], workers: int) -> Iterator[T]:
    """Do something with every item, in several processes of one torch thread each; with one worker, in this process.

    Args:
        work: A function of a module, or a partial one; it and its arguments travel to the processes.
        items: What to work on, in this order.
        workers: How many processes.

    Yields:
        Each item when it is done, in the order of finishing.

    Raises:
        Exception: What `work` raised; items that are being worked on are finished first, the others are left.
    """
    if workers == 1:
        for item in items:
            work(item)
            yield item
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(items) or 1), mp_context=context, initializer=begin_worker)
    try:
        running = {pool.submit(work, item): item for item in items}
        for future in as_completed(running):
            future.result()
            yield running[future]
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def run_ray(specs: Sequence["RunSpec"], workers: int, device: str) -> Outcomes:
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
    needs: dict[str, Any] = {"num_cpus": 1, "num_gpus": 1 if device.startswith("cuda") else 0, "max_retries": 0}
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
                outcome = _failed(spec, f"{type(error.cause).__name__}: {error.cause}")
            except ray.exceptions.RayError:
                outcome = _failed(spec, _ENDED)
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


def _failed(spec: "RunSpec", error: str) -> "RunOutcome":
    from portraitist.studies.runs.running import RunOutcome

    return RunOutcome(spec, "failed", " ".join(error.split()))


EXECUTORS: dict[str, Executor] = {"local": run_local, "ray": run_ray}


def get_executor(name: str) -> Executor:
    """Return an executor by name.

    Raises:
        BadConfig: If there is none, naming those there are.
    """
    if name not in EXECUTORS:
        raise BadConfig(f"no executor is named {name!r}; there are: {', '.join(EXECUTORS)}")
    return EXECUTORS[name]
