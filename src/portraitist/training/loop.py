"""The one training loop. It does not know what it trains.

A `Task` owns the parameters, the data order and the losses; the loop owns the optimiser, the schedule, averaging,
checkpoints, resuming, logging and the progress bar.
"""

import json
import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from diffusers.optimization import get_scheduler
from diffusers.training_utils import EMAModel
from torch import Tensor, nn

from portraitist.errors import BadConfig, TrainingDiverged, TrainingInterrupted
from portraitist.progress import track
from portraitist.training.checkpoints import LAST, Checkpoint, optimizer_tensors, restore_optimizer

LOG = "log.jsonl"


@dataclass(frozen=True)
class ParameterGroup:
    """Named parameters that share a learning rate and a weight decay."""

    parameters: Mapping[str, nn.Parameter]
    learning_rate: float
    weight_decay: float = 0.0


class Task(Protocol):
    """What is trained. `step` must draw all randomness from `portraitist.randomness` streams keyed by the step."""

    def groups(self) -> Sequence[ParameterGroup]:
        """Return the trained parameters; the same names and order on every call."""

    def step(self, step: int, micro_step: int) -> Mapping[str, Tensor]:
        """Return scalar losses of one (micro-)batch; the entry ``loss`` is minimised, others are logged."""

    def after_step(self) -> None:
        """Restore what an optimiser step must not have changed."""

    def identity(self) -> dict[str, Any]:
        """Return JSON-able facts that two runs must share for one to resume the other."""


@dataclass(frozen=True)
class LoopConfig:
    """Settings of the loop.

    Attributes:
        steps: Optimiser steps.
        accumulate: Micro-batches per optimiser step.
        schedule: A schedule of diffusers: constant, constant_with_warmup, linear, cosine, ...
        warmup_steps: Warm-up steps of the schedule (ignored by ``constant``, as in diffusers).
        max_gradient_norm: Gradients are clipped to this global norm.
        betas: AdamW's moment decay rates.
        average_decay: Decay of the exponential moving average of the parameters; 0 keeps none.
        precision: ``no`` (float32), ``bf16`` or ``fp16`` autocast; parameters stay float32.
        checkpoint_seconds: A checkpoint is written when the last one is older.
        log_every: Steps between two lines of the log.
    """

    steps: int
    accumulate: int = 1
    schedule: str = "constant"
    warmup_steps: int = 0
    max_gradient_norm: float = 1.0
    betas: tuple[float, float] = (0.9, 0.999)
    average_decay: float = 0.0
    precision: str = "no"
    checkpoint_seconds: float = 180.0
    log_every: int = 50


@dataclass(frozen=True)
class Outcome:
    """What a finished run reports."""

    steps: int
    seconds: float
    losses: dict[str, float]
    history: list[dict[str, float]] = field(repr=False)


Callback = Callable[[int], None]


class Loop:
    """Train a task, with checkpoints in `folder`.

    Args:
        task: What to train.
        config: Settings of the loop.
        folder: Where checkpoints and the log go; None trains in memory only.
        callbacks: Called with the number of completed steps after each optimiser step.
    """

    def __init__(
        self,
        task: Task,
        config: LoopConfig,
        folder: Path | None = None,
        callbacks: Sequence[Callback] = (),
        description: str = "training",
    ) -> None:
        self.task = task
        self.config = config
        self.folder = folder
        self.callbacks = callbacks
        self.description = description
        self.accelerator = Accelerator(mixed_precision=config.precision, gradient_accumulation_steps=config.accumulate)
        groups = task.groups()
        self.parameters = {name: parameter for group in groups for name, parameter in group.parameters.items()}
        optimizer = torch.optim.AdamW(
            [
                {"params": list(g.parameters.values()), "lr": g.learning_rate, "weight_decay": g.weight_decay}
                for g in groups
            ],
            betas=config.betas,
            fused=True,
        )
        self.schedule = get_scheduler(
            config.schedule, optimizer, num_warmup_steps=config.warmup_steps, num_training_steps=config.steps
        )
        self.optimizer = self.accelerator.prepare(optimizer)
        self.average = (
            EMAModel(self.parameters.values(), decay=config.average_decay, use_ema_warmup=True, power=0.75)
            if config.average_decay
            else None
        )
        self.completed = 0
        self.seconds = 0.0
        self.history: list[dict[str, float]] = []

    def run(self, resume: bool = False) -> Outcome:
        """Train to the last step and return what happened.

        Raises:
            TrainingInterrupted: On Ctrl-C or a termination signal, after a checkpoint was written.
            TrainingDiverged: When a loss is not finite; the last good checkpoint is kept.
        """
        if resume:
            self._restore()
        for parameter in self.parameters.values():
            parameter.requires_grad_(True)
        means: dict[str, float] = {}
        saved_at = time.monotonic()
        with (
            _stop_requested() as stop,
            track(self.config.steps, self.description, completed=self.completed) as progress,
        ):
            while self.completed < self.config.steps:
                started = time.monotonic()
                losses = self._optimise()
                self.completed += 1
                self.seconds += time.monotonic() - started
                means = _smooth(means, losses)
                self._log(means)
                progress.advance(1, loss=means["loss"])
                for callback in self.callbacks:
                    callback(self.completed)
                if stop.is_set or time.monotonic() - saved_at > self.config.checkpoint_seconds:
                    self.save()
                    saved_at = time.monotonic()
                if stop.is_set and self.completed < self.config.steps:
                    raise TrainingInterrupted(self.completed, self.config.steps, self.folder)
        self.save()
        return Outcome(self.completed, self.seconds, means, self.history)

    def _optimise(self) -> dict[str, float]:
        """Take one optimiser step and return its losses."""
        totals: dict[str, float] = {}
        for micro_step in range(self.config.accumulate):
            with self.accelerator.autocast():
                losses = self.task.step(self.completed, micro_step)
            for name, value in losses.items():
                totals[name] = totals.get(name, 0.0) + float(value.detach()) / self.config.accumulate
            if not math.isfinite(totals["loss"]):
                raise TrainingDiverged(self.completed, self.folder)
            self.accelerator.backward(losses["loss"])
        if self.accelerator.num_processes > 1:
            for parameter in self.parameters.values():
                parameter.grad = self.accelerator.reduce(parameter.grad, "mean")
        self.accelerator.clip_grad_norm_(self.parameters.values(), self.config.max_gradient_norm)
        self.optimizer.step()
        self.schedule.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.task.after_step()
        if self.average is not None:
            self.average.step(self.parameters.values())
        return totals

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Put the averaged parameters in place for a while (no change when no average is kept)."""
        if self.average is None:
            yield
            return
        self.average.store(self.parameters.values())
        self.average.copy_to(self.parameters.values())
        try:
            yield
        finally:
            self.average.restore(self.parameters.values())

    def save(self) -> None:
        """Write the last checkpoint, if the run has a folder."""
        if self.folder is None or not self.accelerator.is_main_process:
            return
        names = list(self.parameters)
        average = dict(zip(names, self.average.shadow_params, strict=True)) if self.average else {}
        Checkpoint(
            step=self.completed,
            parameters={name: parameter.data for name, parameter in self.parameters.items()},
            average=average,
            optimizer=optimizer_tensors(self.optimizer, names),
            counters={
                "schedule": self.schedule.state_dict(),
                "average_step": self.average.optimization_step if self.average else 0,
                "seconds": self.seconds,
            },
            identity=self._identity(),
        ).save(self.folder / LAST)

    def _restore(self) -> None:
        if self.folder is None or not (self.folder / LAST).exists():
            return
        checkpoint = Checkpoint.load(self.folder / LAST)
        if checkpoint.identity != self._identity():
            raise BadConfig(f"{self.folder} holds another run: {_difference(checkpoint.identity, self._identity())}")
        for name, parameter in self.parameters.items():
            parameter.data.copy_(checkpoint.parameters[name])
        restore_optimizer(self.optimizer, self.parameters, checkpoint.optimizer)
        self.schedule.load_state_dict(checkpoint.counters["schedule"])
        for group, learning_rate in zip(self.optimizer.param_groups, self.schedule.get_last_lr(), strict=True):
            group["lr"] = learning_rate
        if self.average is not None:
            self.average.optimization_step = checkpoint.counters["average_step"]
            for shadow, name in zip(self.average.shadow_params, self.parameters, strict=True):
                shadow.copy_(checkpoint.average[name])
        self.completed = checkpoint.step
        self.seconds = checkpoint.counters["seconds"]

    def _identity(self) -> dict[str, Any]:
        free = _FREE_TO_CHANGE | ({"steps"} if self.config.schedule.startswith("constant") else set())
        settings = {key: value for key, value in asdict(self.config).items() if key not in free}
        return json.loads(json.dumps({"task": self.task.identity(), "loop": settings}))

    def _log(self, means: dict[str, float]) -> None:
        if self.completed % self.config.log_every and self.completed != self.config.steps:
            return
        line = {
            "step": self.completed,
            "seconds": round(self.seconds, 1),
            "lr": self.schedule.get_last_lr()[0],
            **means,
        }
        self.history.append(line)
        if self.folder is not None and self.accelerator.is_main_process:
            self.folder.mkdir(parents=True, exist_ok=True)
            with (self.folder / LOG).open("a") as file:
                file.write(json.dumps(line) + "\n")


# What may differ when a run is resumed; a constant schedule may also be prolonged.
_FREE_TO_CHANGE = {"checkpoint_seconds", "log_every"}


@dataclass
class _Stop:
    is_set: bool = False


@contextmanager
def _stop_requested() -> Iterator[_Stop]:
    """Turn the first Ctrl-C or termination signal into a request to stop after the current step."""
    stop = _Stop()

    def request(number: int, frame: FrameType | None) -> None:
        stop.is_set = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    try:
        previous = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not in the main thread: signals belong to somebody else
        yield stop
        return
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _smooth(means: dict[str, float], losses: Mapping[str, float], weight: float = 0.02) -> dict[str, float]:
    """Update exponential means of the losses."""
    return {name: means.get(name, value) + weight * (value - means.get(name, value)) for name, value in losses.items()}


def _difference(old: Any, new: Any, path: str = "") -> str:
    """Name the first setting in which two identities differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            if old.get(key) != new.get(key):
                return _difference(old.get(key), new.get(key), f"{path}.{key}" if path else key)
    return f"{path} is {old!r} there and {new!r} here"
