"""Variants: what a grid compares, each a method with values of the grid's settings; and what they are held against."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product, zip_longest
from typing import Any, TypeVar

from portraitist.studies.grid.study import Grid
from portraitist.studies.grid.words import setting_words

T = TypeVar("T")
# What variants' scores lie between; nothing is trained for it. The first are DreamBooth's "real images" (its table 1).
PHOTOS_THEMSELVES, UNTRAINED_BASE = "photos", "base"
REFERENCES = {PHOTOS_THEMSELVES: "real photos", UNTRAINED_BASE: "untrained base"}


@dataclass(frozen=True)
class Variant:
    """One side of a comparison: a method with the values that a grid gives it.

    Attributes:
        grid: Name of the grid.
        method: Name of the method.
        values: The grid's settings with the values of this variant, in the grid's order.
        words: The same for readers, a setting each: ``learning rate 0.001``, or what the study calls the value.
    """

    grid: str
    method: str
    values: tuple[tuple[str, Any], ...] = ()
    words: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """Return words for tables and sentences: ``krona (learning rate 0.001)``."""
        return with_words(self.method, self.words)

    def value(self, setting: str) -> Any:
        """Return the variant's value of a setting."""
        return dict(self.values)[setting]


def with_words(method: str, words: Sequence[str]) -> str:
    """Return a method with what tells a variant of it apart: ``krona (learning rate 0.001)``."""
    return f"{method} ({', '.join(words)})" if words else method


def variants_of(grid: Grid) -> list[Variant]:
    """Return a grid's variants in the order of the study file."""
    combinations = product(*grid.settings.values())
    values = [tuple(zip(grid.settings, combination, strict=True)) for combination in combinations]
    return [
        Variant(grid.name, method, each, tuple(_words(grid, *pair) for pair in each))
        for method in grid.methods
        for each in values
    ]


def references_of(grid: Grid) -> list[Variant]:
    """Return what a grid's variants are compared with."""
    return [Variant(grid.name, name) for name in REFERENCES]


def running_order(grid: Grid) -> list[Variant]:
    """Return a grid's variants in the order of running: methods in turn, values from coarse to fine."""
    variants = variants_of(grid)
    methods = dict.fromkeys(grid.methods)
    return interleave([coarse_to_fine([each for each in variants if each.method == method]) for method in methods])


def interleave(columns: Sequence[Sequence[T]]) -> list[T]:
    """Return one item of each column in turn."""
    missing = object()
    return [item for row in zip_longest(*columns, fillvalue=missing) for item in row if item is not missing]  # type: ignore[misc]


def coarse_to_fine(values: Sequence[T]) -> list[T]:
    """Order values so that the ends come first, then the middle, then the middles of what is left."""
    order = [0, len(values) - 1] if len(values) > 1 else [0] if values else []
    gaps = [(0, len(values) - 1)]
    for low, high in gaps:  # grows while it is walked
        middle = (low + high) // 2
        if middle not in (low, high):
            order.append(middle)
            gaps += [(low, middle), (middle, high)]
    return [values[index] for index in order]


def _words(grid: Grid, setting: str, value: Any) -> str:
    words = grid.value_words(setting, value)
    return words if grid.is_named(setting, value) else f"{setting_words(setting)} {words}"
