"""Several processes that train one adapter together, as `accelerate launch` starts them."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from accelerate import PartialState
from accelerate.utils import parse_flag_from_env, reduce
from torch import Tensor, nn


@dataclass(frozen=True)
class Processes:
    """How many there are, and which one this is.

    Every process draws the randomness of the whole batch and takes its rows of it, so that P processes with batches of
    b are one process with batches of P b.
    """

    rank: int = 0
    count: int = 1

    @classmethod
    def current(cls) -> "Processes":
        """Return the processes this one was launched with; itself alone when it was not."""
        # Unless told so, accelerate leaves processes on the CPU alone with themselves.
        has_gpu = torch.cuda.is_available() or torch.xpu.is_available()
        on_cpu = parse_flag_from_env("ACCELERATE_USE_CPU") or not has_gpu
        state = PartialState(cpu=on_cpu and int(os.environ.get("WORLD_SIZE", "1")) > 1)
        return cls(state.process_index, state.num_processes)

    @property
    def is_first(self) -> bool:
        """Say whether this one writes files and shows progress."""
        return self.rank == 0

    def rows(self, size: int) -> slice:
        """Return this process's rows of a batch in which each process has `size`."""
        return slice(self.rank * size, (self.rank + 1) * size)

    def mean(self, values: Mapping[str, float]) -> dict[str, float]:
        """Return the values' means over all processes."""
        if self.count == 1:
            return dict(values)
        summed = reduce(torch.tensor(list(values.values()), device=PartialState().device), "mean")
        return dict(zip(values, summed.tolist(), strict=True))

    def any(self, flag: bool) -> bool:
        """Say whether any process raised a flag."""
        return self.mean({"flag": float(flag)})["flag"] > 0

    def mean_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Average gradients over all processes, in one message."""
        if self.count == 1:
            return
        gradients: list[Tensor] = [parameter.grad for parameter in parameters if parameter.grad is not None]
        mean = reduce(torch.cat([gradient.flatten() for gradient in gradients]), "mean")
        for gradient, part in zip(gradients, mean.split([gradient.numel() for gradient in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))

    def wait(self) -> None:
        """Wait until all have come here."""
        if self.count > 1:
            PartialState().wait_for_everyone()
