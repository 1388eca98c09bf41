"""Sizes, numbers, durations and lists of names in words."""

from collections.abc import Sequence

_LISTED = 3


def counted(number: int, noun: str) -> str:
    """Return a number of things: ``1 tensor``, ``12,000 tensors``."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def first_few(names: Sequence[str]) -> str:
    """Return the first few names of a list, and dots if there are more."""
    return ", ".join(names[:_LISTED]) + (" ..." if len(names) > _LISTED else "")


def in_bytes(size: int) -> str:
    """Return a file size: ``312 kB``."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{size / factor:.3g} {unit}"
    return f"{size} bytes"


def in_time(seconds: float) -> str:
    """Return a duration: ``92.4 s`` up to two minutes, then ``2 min 30 s``, then ``1 h 5 min``."""
    if seconds < 120:
        return f"{seconds:.3g} s"
    whole = round(seconds)
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"
