"""What a task that trains an adapter has beside what the loop asks of it, and tasks around such a task."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor

from portraitist.adapters import Attachment
from portraitist.training.loop.contracts import ParameterGroup, Task
from portraitist.training.watching.fixed_noise import FixedNoiseLoss


class AdapterTask(Task, Protocol):
    """A task whose parameters are an adapter's."""

    def attached(self, attachment: Attachment) -> None:
        """Called once the adapter is attached, while all parts of the base are still at hand."""

    def fixed_noise(self, samples: int) -> FixedNoiseLoss:
        """Return the loss on so many noised training pictures, always noised in the same way; called after that."""


class WrappedTask:
    """A task that changes how the adapter acts during another's steps; everything else is the other's.

    Attributes:
        task: The other task.
        attachment: Where the adapter is, once it is attached.
    """

    def __init__(self, task: AdapterTask) -> None:
        self.task = task
        self.attachment: Attachment | None = None

    def groups(self) -> Sequence[ParameterGroup]:
        """Return the task's parameters."""
        return self.task.groups()

    def identity(self) -> dict[str, Any]:
        """Return the task's facts."""
        return self.task.identity()

    def attached(self, attachment: Attachment) -> None:
        """Remember where the adapter is."""
        self.attachment = attachment
        self.task.attached(attachment)

    def fixed_noise(self, samples: int) -> FixedNoiseLoss:
        """Return the task's loss on fixed noise, which is measured between steps, when the adapter acts as usual."""
        return self.task.fixed_noise(samples)

    def step(self, step: int, micro_step: int) -> Mapping[str, Tensor]:
        """Do the task's step."""
        return self.task.step(step, micro_step)

    def after_step(self) -> None:
        """Restore what the task restores."""
        self.task.after_step()
