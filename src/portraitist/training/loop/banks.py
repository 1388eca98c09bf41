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
    go on.

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
        means = {
            name: value.detach()[self.training].mean() if value.ndim else value.detach()
            for name, value in losses.items()
        }
        return torch.where(self.training, losses["loss"], 0.0).sum(), means

    def silence(self) -> None:
        """Forget the gradients of adapters that were dropped; they may be anything."""
        if not bool(self.training.all()):
            for value in self.parameters:
                if value.grad is not None:
                    value.grad[~self.training] = 0.0

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
        share = torch.where(self.training, (most / (norm + 1e-6)).clamp(max=1.0), 0.0)
        for gradient in gradients:
            gradient.mul_(share.view(-1, *(1,) * (gradient.ndim - 1)).to(gradient))
        return norm[self.training].max() if bool(self.training.any()) else norm.new_tensor(float("inf"))

    def hold(self) -> None:
        """Put the adapters that were dropped back to what they were, after a step that moved all."""
        if self._kept:
            for value, kept in zip(self._held(), self._kept, strict=True):
                value.data[~self.training] = kept[~self.training]

    def restore(self, dropped: Sequence[int]) -> None:
        """Take up again a bank of which some adapters were dropped before."""
        if dropped:
            sound = torch.ones_like(self.training)
            sound[list(dropped)] = False
            self._drop(sound)

    def _drop(self, sound: Tensor) -> None:
        gone = self.training & ~sound
        if bool(gone.any()):
            if not self._kept:
                self._kept = [value.detach().clone() for value in self._held()]
            for value, kept in zip(self._held(), self._kept, strict=True):
                kept[gone] = value.detach()[gone]
            self.training = self.training & sound

    def _held(self) -> list[Tensor]:
        return [*self.parameters, *self._averages()]
