"""What making toyland must know of a world: how pictures are chosen, described and painted."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from portraitist.toyland.world import captions, identities, painting, pictures


class Painter(Protocol):
    """Paints on one device."""

    def paint(self, plan: Any) -> Tensor:
        """Return the planned pictures, uint8 ``[n, 3, side, side]`` on that device."""


@dataclass(frozen=True)
class World:
    """A world of pictures. Its functions must be importable by name, since other processes call them.

    Attributes:
        resolution: Side of the pictures in pixels.
        nouns: Class nouns of its subjects.
        identifiers: Rare words that no caption holds.
        sample: Chooses a picture of a split: what is to be seen.
        describe: Captions a picture; with True it says everything.
        labels: Returns JSON-able facts about a picture.
        plan: Turns what is to be seen into arrays, what is to be painted; they can be sent to another process.
        painter: Returns a painter for a device.
    """

    resolution: int
    nouns: tuple[str, ...]
    identifiers: tuple[str, ...]
    sample: Callable[[np.random.Generator, str], Any]
    describe: Callable[[Any, np.random.Generator, bool], str]
    labels: Callable[[Any], dict[str, Any]]
    plan: Callable[[Sequence[Any]], Any]
    painter: Callable[[str], Painter]


@dataclass(frozen=True)
class Described:
    """Pictures before they are painted.

    Attributes:
        captions: Captions of each; the first says everything, the others leave things out.
        labels: Labels of each.
        plan: What is to be painted.
    """

    captions: list[list[str]]
    labels: list[dict[str, Any]]
    plan: Any


def toyland_world() -> World:
    """Return toyland's own world."""
    return World(
        pictures.RESOLUTION,
        identities.KINDS,
        captions.IDENTIFIERS,
        pictures.sample_picture,
        _describe,
        captions.labels,
        painting.plan,
        painting.Painter,
    )


def _describe(spec: Any, rng: np.random.Generator, complete: bool) -> str:
    return captions.caption(spec, rng, captions.COMPLETE if complete else None)
