"""Sizes and durations in words."""

import pytest

from portraitist.units import in_bytes, in_time


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
