"""Where banks of targets are trained: in this process, or on a Ray cluster."""

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache

import torch

from portraitist.bases import Base, load_base
from portraitist.errors import BadConfig, WorkerLost
from portraitist.hypernetworks.identities.targets import BankWork, train_bank
from portraitist.workers import begin_worker, on_cluster

# Trained banks, as files, in the order of finishing.
Banks = Iterator[tuple[BankWork, bytes]]
Executor = Callable[[Iterable[BankWork], Base], Banks]
# How often a bank is begun again whose process was killed.
_TRIES = 3


def run_local(works: Iterable[BankWork], base: Base) -> Banks:
    """Train banks one after the other in this process."""
    for work in works:
        yield work, train_bank(work, base)


def run_ray(works: Iterable[BankWork], base: Base) -> Banks:
    """Train banks on the Ray cluster named by ``RAY_ADDRESS``, or with every core of this machine.

    Every node needs the package, and the base under the same name; photos travel as latents, banks come back as bytes.
    A bank whose process is killed is begun again. With a GPU each process takes one, else a core.

    Raises:
        MissingExtra: If Ray is not installed.
        PortraitistError: What the training of a bank raised.
    """
    gpu = base.device.type == "cuda"
    for work, future in on_cluster(_train_there, works, gpu=gpu, retries=_TRIES):
        try:
            bank = future.result()
        except WorkerLost as error:
            raise BadConfig(
                f"the process of bank {work.number} was killed {_TRIES + 1} times, as happens when memory runs out; try"
                " a smaller --bank-size"
            ) from error
        yield work, bank


def _train_there(work: BankWork) -> bytes:
    """Train a bank in a process of a cluster."""
    begin_worker()
    return train_bank(work, _base_there(work.base, work.device, work.precision, work.resolution))


@lru_cache(maxsize=1)
def _base_there(name: str, device: str, precision: str, resolution: int) -> Base:
    """Load the base of a process' banks, once."""
    return load_base(name, device, getattr(torch, precision), resolution=resolution)


EXECUTORS: dict[str, Executor] = {"local": run_local, "ray": run_ray}
