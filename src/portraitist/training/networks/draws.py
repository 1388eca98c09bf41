"""What one step draws: items of the data set and random numbers, shared out between processes that train together."""

from dataclasses import dataclass

import numpy as np
import torch

from portraitist.randomness import epoch_order, numpy_generator, torch_generator
from portraitist.training.loop.processes import Processes


@dataclass(frozen=True)
class Draws:
    """The draws of one step by one of the processes; with one process they do not depend on there being others.

    Attributes:
        seed: The stage's seed.
        step: The step.
        processes: This process among those that train together; a batch is split evenly between them.
    """

    seed: int
    step: int
    processes: Processes

    def share(self, size: int) -> int:
        """Return how many of a batch's samples are this process's."""
        return max(1, size // self.processes.count)

    def items(self, count: int, size: int) -> np.ndarray:
        """Return this process's items of the step's batch of `size`, from shuffled epochs of `count`."""
        own = self.share(size)
        start = (self.step * self.processes.count + self.processes.rank) * own
        return epoch_order(count, self.seed, "items", start, own)

    def numpy(self, purpose: str) -> np.random.Generator:
        """Return a generator of NumPy's for one purpose."""
        return numpy_generator(self.seed, self._own(purpose), self.step)

    def torch(self, purpose: str, device: str = "cpu") -> torch.Generator:
        """Return a generator of torch's for one purpose."""
        return torch_generator(self.seed, self._own(purpose), self.step, device)

    def _own(self, purpose: str) -> str:
        return purpose if self.processes.is_first else f"{purpose} of process {self.processes.rank}"
