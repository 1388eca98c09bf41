"""What a task that trains an adapter has beside what the loop asks of it."""

from typing import Protocol

from portraitist.adapters import Attachment
from portraitist.training.loop.contracts import Task
from portraitist.training.watching.fixed_noise import FixedNoiseLoss


class AdapterTask(Task, Protocol):
    """A task whose parameters are an adapter's."""

    def attached(self, attachment: Attachment) -> None:
        """Called once the adapter is attached, while all parts of the base are still at hand."""

    def fixed_noise(self, samples: int) -> FixedNoiseLoss:
        """Return the loss on so many noised training pictures, always noised in the same way; called after that."""
