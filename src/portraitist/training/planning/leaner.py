"""What would make a run fit a smaller card: the change that costs least first."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from portraitist.bases.cards import Card
from portraitist.bases.families.family import LEAST_LATENTS
from portraitist.training.planning.memory import Footprint, Memory, Setup, Trained

# Of the cards that people have.
SIZES = (8, 12, 16, 24, 48, 80)  # GB
# What a change costs, to be compared only: time and trouble first, then what is learnt. Our choice.
_OFFLOADED, _HALVED_BATCH, _SMALL_STATE, _CHECKPOINTED = 1, 2, 3, 5
_BITS = {8: 12, 4: 18}
# Smaller pictures, as fractions of the resolution that was asked for.
_SHRUNK = {0.75: 40, 0.5: 60}

# Changes of a setup, each with what it costs; the first is none.
_Options = list[tuple[int, dict[str, Any]]]


@dataclass(frozen=True)
class Choices:
    """What may be changed of a run; nothing that was asked for is taken back.

    Attributes:
        asked: The setup as it was asked for.
        accumulate: Micro-batches in a step as it was asked for.
        bits: Whether the method can do with linear weights in fewer bits.
        resolution_step: What resolutions are multiples of.
    """

    asked: Setup
    accumulate: int
    bits: bool
    resolution_step: int

    def ranked(self) -> list[Setup]:
        """Return all setups, the one that costs least first."""
        rated = []
        for changes in product(*self._options()):
            merged = {name: value for _, change in changes for name, value in change.items()}
            rated.append((sum(cost for cost, _ in changes), replace(self.asked, **merged)))
        return [setup for _, setup in sorted(rated, key=lambda each: each[0])]

    def flags(self, setup: Setup) -> tuple[str, ...]:
        """Return what is to be added to a command for a setup."""
        asked, flags = self.asked, []
        if setup.offloaded != asked.offloaded:
            flags.append("--set memory.offload=true")
        if setup.batch_size != asked.batch_size:
            parts = self.accumulate * asked.batch_size // setup.batch_size
            flags.append(f"--batch-size {setup.batch_size} --set accumulate={parts}")
        if setup.optimizer != asked.optimizer:
            flags.append(f"--set optimizer.name={setup.optimizer}")
        if setup.checkpointed != asked.checkpointed:
            flags.append("--set memory.checkpoint_activations=true")
        if setup.bits != asked.bits:
            flags.append(f"--base-bits {setup.bits}")
        if setup.resolution != asked.resolution:
            flags.append(f"--resolution {setup.resolution}")
        return tuple(flags)

    def _options(self) -> list[_Options]:
        asked, none = self.asked, (0, dict[str, Any]())
        sizes = [asked.batch_size >> halvings for halvings in range(1, asked.batch_size.bit_length())]
        batches = [(_HALVED_BATCH * (n + 1), {"batch_size": size}) for n, size in enumerate(sizes)]
        return [
            [none, *([] if asked.offloaded else [(_OFFLOADED, {"offloaded": True})])],
            [none, *(each for each in batches if asked.batch_size % each[1]["batch_size"] == 0)],
            [none, *([(_SMALL_STATE, {"optimizer": "adamw8bit"})] if asked.optimizer == "adamw" else [])],
            [none, *([] if asked.checkpointed else [(_CHECKPOINTED, {"checkpointed": True})])],
            [none, *((cost, {"bits": bits}) for bits, cost in _BITS.items() if self.bits and asked.bits is None)],
            [none, *((cost, {"resolution": size}) for share, cost in _SHRUNK.items() if (size := self._shrunk(share)))],
        ]

    def _shrunk(self, share: float) -> int | None:
        """Return a smaller resolution, if pictures can have it."""
        resolution = round(share * self.asked.resolution)
        step = self.resolution_step
        return resolution if resolution % step == 0 and resolution >= LEAST_LATENTS * step else None


@dataclass(frozen=True)
class Fit:
    """How a run fits a card.

    Attributes:
        card: The card.
        flags: What is to be added to the command; nothing if it fits as it is.
        memory: What the run takes then; None if nothing makes it fit.
    """

    card: Card
    flags: tuple[str, ...]
    memory: Memory | None


def find_fits(footprint: Footprint, trained: Trained, choices: Choices, cards: Sequence[Card]) -> list[Fit]:
    """Say for each card what makes a run fit."""
    ranked = [(setup, footprint.memory(trained, setup)) for setup in choices.ranked()]
    found = []
    for card in cards:
        setup, memory = next((each for each in ranked if each[1].peak <= card.room), (None, None))
        found.append(Fit(card, () if setup is None else choices.flags(setup), memory))
    return found
