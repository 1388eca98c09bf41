"""Banks on a cluster: each comes back once, also when a process is killed, and what is raised there is raised here."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from portraitist.bases import Base, load_base
from portraitist.errors import BadConfig
from portraitist.hypernetworks.identities import executors
from portraitist.hypernetworks.identities.executors import EXECUTORS, run_ray
from portraitist.workers import find_executor


def test_executors_are_named() -> None:
    with pytest.raises(BadConfig, match="no executor is named 'slurm'; there are: local, ray"):
        find_executor("slurm", EXECUTORS)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    ray = pytest.importorskip("ray")
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
    yield ray
    ray.shutdown()


@pytest.fixture
def banks(cluster: Any, tiny_base_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[int, bytes]]:
    """Return a function that has a few banks made on the cluster, by a function that imports nothing there."""
    base: Base = load_base(tiny_base_folder)

    def make(train: Callable[[Any], bytes], count: int = 3) -> dict[int, bytes]:
        monkeypatch.setattr(executors, "_train_there", train)
        works: list[Any] = [SimpleNamespace(number=number) for number in range(count)]
        return {work.number: content for work, content in run_ray(works, base)}

    return make


def test_a_bank_whose_process_is_killed_is_begun_again(banks: Callable[..., dict[int, bytes]], tmp_path: Path) -> None:
    mark = str(tmp_path / "killed")

    def train(work: Any) -> bytes:
        if work.number == 1 and not os.path.exists(mark):
            os.mkdir(mark)
            os.kill(os.getpid(), signal.SIGKILL)
        return b"bank %d" % work.number

    assert banks(train) == {0: b"bank 0", 1: b"bank 1", 2: b"bank 2"}
    assert os.path.exists(mark)


def test_an_error_there_is_an_error_here(banks: Callable[..., dict[int, bytes]]) -> None:
    def train(work: Any) -> bytes:
        raise ZeroDivisionError("in the bank")

    with pytest.raises(ZeroDivisionError, match="in the bank"):
        banks(train)
