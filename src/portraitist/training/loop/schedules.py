"""The learning rate on its way: diffusers' schedules by steps, and schedules by how far a run has come.

How far a run has come, its *progress* in [0, 1], may be measured in steps or by the clock; a run by the clock ends
where it should on any machine.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
from diffusers.optimization import get_scheduler

from portraitist.errors import BadConfig
from portraitist.training.loop.contracts import LoopConfig

COOLDOWN_FROM = 0.8  # share of the way after which ``cooldown`` falls


class Schedule(Protocol):
    """What sets the learning rates of an optimiser's groups."""

    def advance(self, completed: int, progress: float) -> None:
        """Set the rates for the next step, after so many completed ones and so much of the way."""

    def get_last_lr(self) -> list[float]:
        """Return the rate of every group."""

    def state_dict(self) -> dict[str, Any]:
        """Return what it remembers, JSON-able."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up again what it remembered."""


def build_schedule(optimizer: torch.optim.Optimizer, config: LoopConfig) -> Schedule:
    """Return the schedule that a loop's settings ask for.

    Raises:
        BadConfig: If its rules cannot be read, or it cannot be followed by the clock.
    """
    if config.seconds is None and config.schedule not in _ONLY_BY_PROGRESS:
        return _BySteps(optimizer, config)
    if config.schedule not in _SHAPES:
        raise BadConfig(f"the schedule {config.schedule} cannot follow the clock; these can: {', '.join(_SHAPES)}")
    return _ByProgress(optimizer, _SHAPES[config.schedule], config.warmup_steps)


class _BySteps:
    """A schedule of diffusers."""

    def __init__(self, optimizer: torch.optim.Optimizer, config: LoopConfig) -> None:
        if config.schedule == "piecewise_constant" and not config.step_rules:
            raise BadConfig("the schedule piecewise_constant needs rules: schedule_options.rules=1:100,0.1:300,0.01")
        try:
            self._schedule = get_scheduler(
                config.schedule,
                optimizer,
                step_rules=config.step_rules,
                num_warmup_steps=config.warmup_steps,
                num_training_steps=config.steps,
                num_cycles=config.cycles,
                power=config.power,
            )
        except (ValueError, IndexError) as error:
            raise BadConfig(f"the schedule {config.schedule} cannot be built: {error}") from error

    def advance(self, completed: int, progress: float) -> None:
        self._schedule.step()

    def get_last_lr(self) -> list[float]:
        return self._schedule.get_last_lr()

    def state_dict(self) -> dict[str, Any]:
        return self._schedule.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._schedule.load_state_dict(state)


class _ByProgress:
    """Peak rates times a warm-up by steps and a shape by progress."""

    def __init__(self, optimizer: torch.optim.Optimizer, shape: Callable[[float], float], warmup_steps: int) -> None:
        self._groups, self._shape, self._warmup_steps = optimizer.param_groups, shape, warmup_steps
        self._peaks = [float(group["lr"]) for group in optimizer.param_groups]
        self.advance(0, 0.0)

    def advance(self, completed: int, progress: float) -> None:
        warm = min(1.0, (completed + 1) / (self._warmup_steps + 1))
        factor = warm * self._shape(min(max(progress, 0.0), 1.0))
        for group, peak in zip(self._groups, self._peaks, strict=True):
            group["lr"] = peak * factor

    def get_last_lr(self) -> list[float]:
        return [float(group["lr"]) for group in self._groups]

    def state_dict(self) -> dict[str, Any]:
        return {"rates": self.get_last_lr()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for group, rate in zip(self._groups, state["rates"], strict=True):
            group["lr"] = rate


def _cosine(progress: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * progress))


def _cooldown(progress: float) -> float:
    """Stay, then fall in a straight line (arXiv 2405.18392)."""
    return min(1.0, (1 - progress) / (1 - COOLDOWN_FROM))


_SHAPES: Mapping[str, Callable[[float], float]] = {
    "constant": lambda progress: 1.0,
    "constant_with_warmup": lambda progress: 1.0,
    "linear": lambda progress: 1 - progress,
    "cosine": _cosine,
    "cooldown": _cooldown,
}
_ONLY_BY_PROGRESS = {"cooldown"}
