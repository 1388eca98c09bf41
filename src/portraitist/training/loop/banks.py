"""Banks in the loop: every adapter of a bank is clipped, summed and dropped on its own, as if it were trained alone."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from portraitist.errors import BadConfig
from portraitist.training.loop.contracts import BankTask, LoopConfig, Task

# These step every number by its own history; the others have numbers that all parameters share.
_APART = ("adamw",)


class BankRows:
    """The adapters of a bank while it is trained, one row of every parameter each.

    An adapter whose loss or gradient is not finite is dropped: it stays what it was before that step, while the others
    go on. Nothing here waits for a device: who was dropped is decided there, and read when somebody asks.

    Args:
        size: How many adapters there are.
        parameters: The trained parameters, each with a leading axis of that size.
        averages: Returns their running averages, in the same order; nothing if none are kept.
    """

    def __init__(self, size: int, parameters: Sequence[Tensor], averages: Callable[[], Sequence[Tensor]]) -> None:
        self.parameters, self._averages = parameters, averages
        self.training = torch.ones(size, dtype=torch.bool, device=parameters[0].device)
        self._kept: list[Tensor] = []

    @classmethod
    def of(
        cls,
        task: Task,
        config: LoopConfig,
        parameters: Sequence[Tensor],
        averages: Callable[[], Sequence[Tensor]],
        processes: int,
    ) -> "BankRows | None":
        """Return the rows of a task that trains a bank; None for any other.

        Raises:
            BadConfig: If they could not be trained as if alone.
        """
        if not isinstance(task, BankTask) or task.bank_size is None:
            return None
        if config.optimizer not in _APART:
            able = " or ".join(_APART)
            raise BadConfig(f"a bank can only be trained with {able}; {config.optimizer} would mix its adapters")
        if processes > 1:
            raise BadConfig("a bank is trained by a single process; split it into one bank for each process")
        if odd := [tuple(value.shape) for value in parameters if value.shape[:1] != (task.bank_size,)]:
            raise BadConfig(f"a bank of {task.bank_size} adapters has a parameter of shape {odd[0]} without their axis")
        return cls(task.bank_size, parameters, averages)

    @property
    def dropped(self) -> tuple[int, ...]:
        """Return the numbers of the adapters that were dropped."""
        return tuple((~self.training).nonzero().flatten().tolist())

    def sum(self, losses: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the sum of the adapters' losses, whose gradient is each adapter's own, and all losses' means to show.

        Args:
            losses: One for each adapter, ``[size]``, or for all of them.
        """
        self._drop(losses["loss"].detach().isfinite())
        means = {name: self._mean(value.detach()) if value.ndim else value.detach() for name, value in losses.items()}
        return torch.where(self.training, losses["loss"], 0.0).sum(), means

    def silence(self) -> None:
        """Forget the gradients of adapters that were dropped; they may be anything."""
        for value in self.parameters:
            if value.grad is not None:
                value.grad.masked_fill_(_along(~self.training, value.grad), 0.0)

    def clip(self, most: float, drop: bool = True) -> Tensor:
        """Clip every adapter's gradient to a norm of its own and return the largest norm; infinite if none is left.

        Args:
            most: The norm.
            drop: Drop adapters whose gradient is not finite; else the whole step is to be passed over.
        """
        gradients = [value.grad for value in self.parameters if value.grad is not None]
        norms = [torch.linalg.vector_norm(gradient.reshape(len(gradient), -1), dim=1) for gradient in gradients]
        norm = torch.linalg.vector_norm(torch.stack(norms), dim=0)
        if drop:
            self._drop(norm.isfinite())
            self.silence()
        self._kept = [value.detach().clone() for value in self._held()]
        share = torch.where(self.training, (most / (norm + 1e-6)).clamp(max=1.0), 0.0)
        for gradient in gradients:
            gradient.mul_(_along(share, gradient).to(gradient))
        largest = torch.where(self.training, norm, 0.0).max()
        return torch.where(self.training.any(), largest, float("inf"))

    def hold(self) -> None:
        """Put the adapters that were dropped back to what they were, after a step that moved all."""
        for value, kept in zip(self._held(), self._kept, strict=True):
            value.data.copy_(torch.where(_along(self.training, value), value.data, kept))

    def restore(self, dropped: Sequence[int]) -> None:
        """Take up again a bank of which some adapters were dropped before."""
        if dropped:
            self.training[list(dropped)] = False

    def _drop(self, sound: Tensor) -> None:
        self.training = self.training & sound

    def _mean(self, values: Tensor) -> Tensor:
        return torch.where(self.training, values, 0.0).sum() / self.training.sum()

    def _held(self) -> list[Tensor]:
        return [*self.parameters, *self._averages()]


def _along(rows: Tensor, values: Tensor) -> Tensor:
    """Return one number for each row so that they broadcast over all else."""
    return rows.view(-1, *(1,) * (values.ndim - 1))
