"""Losses of steps, kept on the device until they are read: reading waits until it has done everything before."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from portraitist.training.loop.processes import Processes

_GRADIENT = "gradient norm"
_READ_TOGETHER = 10  # steps, where the program works ahead of the device
_WEIGHT = 0.02  # of the newest value in a smoothed one, once there are many


class NotFinite(Exception):
    """A loss or gradient that is not a finite number, found when it was read."""

    def __init__(self, step: int, what: str) -> None:
        super().__init__(step, what)
        self.step, self.what = step, what


class Losses:
    """Collect the losses of every step and smooth them.

    Args:
        processes: Losses are means over them.
        device: Type of the device they are computed on.
        every: Steps that are read together; with 1 each is checked before it is stepped. None goes by the device.

    Attributes:
        means: Exponential means of the losses by name, as far as they were read. At first they are plain means: the
            sum of weights is divided out, as Adam does (arXiv 1412.6980, section 3), so that the first batch counts no
            more than others.
    """

    def __init__(self, processes: Processes, device: str, every: int | None = None) -> None:
        self.means: dict[str, float] = {}
        self._weights: dict[str, float] = {}
        self._processes, self._every = processes, every or (1 if device == "cpu" else _READ_TOGETHER)
        self._totals: dict[str, Tensor] = {}
        self._unread: list[tuple[int, dict[str, Tensor]]] = []

    def add(self, step: int, losses: Mapping[str, Tensor], weight: float) -> None:
        """Add the losses of a micro-batch of a step, with its weight in the step's.

        Raises:
            NotFinite: If the loss is not, and each step is read at once.
        """
        for name, value in losses.items():
            part = value.detach().float() * weight
            self._totals[name] = self._totals[name] + part if name in self._totals else part
        if self._every == 1:
            loss = self._processes.mean({"loss": float(losses["loss"].detach())})["loss"]
            _check(step, "loss", loss)

    def add_gradient(self, step: int, norm: Tensor) -> None:
        """Add the norm of a step's gradient.

        Raises:
            NotFinite: If it is not, and each step is read at once.
        """
        if self._every == 1:
            _check(step, "gradient", float(norm))
        else:
            self._totals[_GRADIENT] = norm.detach().float()

    def finish(self, step: int) -> None:
        """End a step; now and then, read.

        Raises:
            NotFinite: If a loss or gradient of a step that is read is not.
        """
        self._unread.append((step, self._totals))
        self._totals = {}
        if len(self._unread) >= self._every:
            self.read()

    def read(self) -> None:
        """Bring what is not read yet over from the device, all at once.

        Raises:
            NotFinite: If a loss or gradient is not.
        """
        unread, self._unread = self._unread, []
        if not unread:
            return
        values = iter(torch.stack([value for _, totals in unread for value in totals.values()]).tolist())
        for step, totals in unread:
            losses = self._processes.mean({name: next(values) for name in totals})
            _check(step, "gradient", losses.pop(_GRADIENT, 0.0))
            _check(step, "loss", losses["loss"])
            for name, value in losses.items():
                self._weights[name] = weight = _WEIGHT + (1 - _WEIGHT) * self._weights.get(name, 0.0)
                mean = self.means.get(name, value)
                self.means[name] = mean + _WEIGHT / weight * (value - mean)


def _check(step: int, what: str, value: float) -> None:
    if not math.isfinite(value):
        raise NotFinite(step, what)
