"""Work that is done in other processes: how one begins there, and spreading it over a Ray cluster."""

import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from typing import Any, TypeVar

import torch

from portraitist.errors import BadConfig, MissingExtra, WorkerLost
from portraitist.progress import console, quiet_libraries

T = TypeVar("T")
R = TypeVar("R")


def find_executor(name: str, executors: Mapping[str, T]) -> T:
    """Return an executor by name.

    Raises:
        BadConfig: If there is none, naming those there are.
    """
    if name not in executors:
        raise BadConfig(f"no executor is named {name!r}; there are: {', '.join(executors)}")
    return executors[name]


def begin_worker() -> None:
    """Take one thread only, so that processes do not fight over cores, and leave the terminal to the first process.

    What it is warned of is one line all the same.
    """
    torch.set_num_threads(1)
    quiet_libraries()
    console.quiet = True
    warnings.showwarning = lambda message, *_, **__: print(f"warning: {message}", file=sys.stderr)


def on_cluster(
    work: Callable[..., R], items: Iterable[T], *rest: Any, gpu: bool, retries: int, workers: int | None = None
) -> Iterator[tuple[T, Future[R]]]:
    """Work on items on the Ray cluster named by ``RAY_ADDRESS``, or on one of this machine.

    When the caller stops listening, what runs is cancelled, and a cluster that was started here ends.

    Args:
        work: A function of an item and of `rest`; every node needs what it imports.
        items: What to work on, taken in this order as places become free.
        rest: Further arguments, the same for every item.
        gpu: Whether each takes a GPU, beside a core.
        retries: How often one is begun again whose process was ended from outside.
        workers: How many at once, and the cores of a cluster of this machine; by default as many as there is room for.

    Yields:
        Each item with its finished future, in the order of finishing; the future of one whose process was ended too
        often raises `WorkerLost`.

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
    remote = ray.remote(num_cpus=1, num_gpus=int(gpu), max_retries=retries)(work)
    places = workers or int(ray.cluster_resources().get("GPU" if gpu else "CPU", 1))
    waiting, running = iter(items), dict[Any, T]()
    try:
        while True:
            while len(running) < places and (item := next(waiting, None)) is not None:
                running[remote.remote(item, *rest)] = item
            if not running:
                return
            (finished, *_), _ = ray.wait(list(running), num_returns=1)
            future: Future[R] = Future()
            try:
                future.set_result(ray.get(finished))
            except ray.exceptions.RayTaskError as error:
                future.set_exception(error.cause)
            except ray.exceptions.RayError:
                future.set_exception(WorkerLost("its process was ended from outside"))
            yield running.pop(finished), future
    finally:
        for reference in running:
            ray.cancel(reference)
        if started:
            ray.shutdown()
