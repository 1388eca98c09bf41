"""Work in several processes of this machine, each with one torch thread, so that they do not fight over cores."""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from functools import lru_cache
from typing import TypeVar

from pebble import ProcessExpired, ProcessPool

from portraitist.bases import Base, load_base
from portraitist.errors import WorkerLost
from portraitist.progress import quiet_libraries
from portraitist.workers import begin_worker

T = TypeVar("T")
R = TypeVar("R")
ENDED = "its process was killed twice, as happens when memory runs out; try fewer workers"


def in_processes(work: Callable[[T], R], items: Sequence[T], workers: int) -> Iterator[tuple[T, Future[R]]]:
    """Work on items in several processes; one whose process is ended from outside is done once more, after the others.

    When the caller stops listening, the processes are ended.

    Args:
        work: A function of a module, or a partial one; it and its arguments travel to the processes.
        items: What to work on, in this order.
        workers: How many processes.

    Yields:
        Each item with its finished future, in the order of finishing; the future of one whose process was ended twice
        raises `pebble.ProcessExpired`.
    """
    context = multiprocessing.get_context("spawn")
    pool = ProcessPool(min(workers, len(items) or 1), initializer=begin_worker, context=context)
    try:
        running: dict[Future[R], tuple[T, bool]]
        running = {pool.schedule(work, (item,)): (item, True) for item in items}
        while running:
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                item, is_first = running.pop(future)
                if is_first and isinstance(future.exception(), ProcessExpired):
                    running[pool.schedule(work, (item,))] = (item, False)
                else:
                    yield item, future
    finally:
        pool.stop()
        pool.join()


def spread(work: Callable[[T], None], items: Sequence[T], workers: int, name: Callable[[T], str] = str) -> Iterator[T]:
    """Do something with every item, in several processes; with one worker, in this process.

    Args:
        work: As for `in_processes`.
        items: What to work on, in this order.
        workers: How many processes.
        name: What an error calls an item.

    Yields:
        Each item when it is done, in the order of finishing.

    Raises:
        WorkerLost: If the process of an item was ended from outside twice.
        Exception: What `work` raised.
    """
    if workers == 1:
        for item in items:
            work(item)
            yield item
        return
    for item, future in in_processes(work, items, workers):
        try:
            future.result()
        except ProcessExpired as error:
            raise WorkerLost(f"{name(item)}: {ENDED}") from error
        yield item


@lru_cache(maxsize=1)
def base_of_process(name: str, device: str) -> Base:
    """Load the base of a process' work, once."""
    quiet_libraries()
    return load_base(name, device)
