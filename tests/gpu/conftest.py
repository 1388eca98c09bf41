"""Tests of one device against the CPU: `pytest tests/gpu`, or with `--device cpu` where there is no other.

They are made for a GPU and are skipped without one. On a CPU they compare it with itself, which tries the tests.
"""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
import torch

from portraitist.bases import Base, load_base
from portraitist.bases.examples import get_example
from portraitist.training.subjects import Subject

SIDE = 32


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--device", help="device that is compared with the CPU")


@pytest.fixture(scope="session")
def device(pytestconfig: pytest.Config) -> str:
    """Return the device under test."""
    chosen = pytestconfig.getoption("--device", default=None)
    if chosen is None and not torch.cuda.is_available():
        pytest.skip("there is no GPU here; --device cpu tries these tests")
    return str(chosen or "cuda")


@pytest.fixture(autouse=True)
def plain_float32() -> Iterator[None]:
    """Multiply float32 in float32, as the CPU does, and not in TF32."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    with torch.backends.cudnn.flags(allow_tf32=False):
        yield
    torch.set_float32_matmul_precision(before)


@pytest.fixture(scope="session")
def load(tiny_base_folder: Path) -> Callable[[str, torch.dtype], Base]:
    """Return a function that loads the tiny base onto a device in a precision, once each."""

    @cache
    def loaded(device: str, dtype: torch.dtype) -> Base:
        return load_base(tiny_base_folder, device=device, dtype=dtype)

    return loaded


@pytest.fixture(scope="session")
def subject() -> Subject:
    return Subject.from_folder(get_example("cat-1b7ecd").folder, "cat", size=SIDE)
