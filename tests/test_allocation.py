"""Memory that large tensors left is used again."""

import os
import subprocess
import sys

import pytest

from portraitist.allocation import reuse_freed_memory

# Fills 48 MiB time and again, and prints how many pages the system had to bring for the last twenty.
_PROGRAM = """
import resource, torch
from portraitist.allocation import reuse_freed_memory
{first}
for _ in range(20):
    torch.ones(12 * 2**20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    torch.ones(12 * 2**20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def _pages(first: str) -> int:
    program = _PROGRAM.format(first=first)
    usual = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    done = subprocess.run([sys.executable, "-c", program], env=usual, capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(not reuse_freed_memory(), reason="needs glibc")
def test_a_tensor_takes_the_place_of_the_last_one() -> None:
    """Without it every tensor of this size is made of pages that are fetched and cleared for it alone."""
    assert _pages("reuse_freed_memory()") < _pages("") / 10


def test_without_glibc_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert reuse_freed_memory.__wrapped__() is False
