"""What hard use needs: how often, the tiny base, and a subject on it."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from comparing import TinyPipeline
from tqdm import tqdm

from portraitist.adapters import Adapter
from portraitist.bases import Base, load_base

# Forks share what these have: threads, and a lock that one which is killed would keep for ever.
os.environ["TOKENIZERS_PARALLELISM"] = "false"
tqdm.set_lock(threading.RLock())


def how_many(name: str, few: int) -> int:
    """Return how many cases are tried: few in a usual run, as many as `make abuse` says in a full one."""
    return int(os.environ.get(f"ABUSE_{name}", few))


@pytest.fixture(scope="session")
def base(tiny_base_folder: Path) -> Base:
    base = load_base(tiny_base_folder)
    _ = base.fingerprint
    return base


@pytest.fixture(scope="session")
def tiny(tiny_base_folder: Path, draw_adapter: Callable[..., Adapter]) -> TinyPipeline:
    pipeline = TinyPipeline(tiny_base_folder, draw_adapter)
    _ = pipeline.components
    return pipeline


@pytest.fixture
def report(capsys: pytest.CaptureFixture[str]) -> Callable[[str, str], None]:
    """Return a function that shows a table in a full run, and keeps it where ABUSE_REPORT says."""

    def show(title: str, text: str) -> None:
        if any(name.startswith("ABUSE_") for name in os.environ):
            with capsys.disabled():
                print(f"\n\n{title}\n\n{text}")
        if place := os.environ.get("ABUSE_REPORT"):
            with Path(place).open("a", encoding="utf-8") as file:
                file.write(f"## {title}\n\n{text}\n\n")

    return show
