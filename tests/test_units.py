"""Sizes, numbers, durations and lists of names in words."""

import pytest

from portraitist.units import counted, first_few, in_bytes, in_time


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1 kB"), (312_345, "312 kB"), (3.4e6, "3.4 MB"), (5e9, "5 GB")],
)
def test_sizes(size: int, words: str) -> None:
    assert in_bytes(size) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.5, "0.5 s"), (92.44, "92.4 s"), (120, "2 min 0 s"), (150.4, "2 min 30 s"), (3900, "1 h 5 min")],
)
def test_durations(seconds: float, words: str) -> None:
    assert in_time(seconds) == words


def test_counts_and_lists() -> None:
    assert [counted(number, "tensor") for number in (0, 1, 12_000)] == ["0 tensors", "1 tensor", "12,000 tensors"]
    assert first_few(["a", "b", "c"]) == "a, b, c"
    assert first_few(["a", "b", "c", "d"]) == "a, b, c ..."
