"""The one training loop. It does not know what it trains.

A `Task` owns the parameters, the data order and the losses; the loop owns the optimiser, the schedule, averaging,
checkpoints, resuming, logging and the progress bar.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from portraitist.errors import BadConfig, TrainingDiverged, TrainingInterrupted
from portraitist.training.loop.averaging import in_place, new_average, restore_average
from portraitist.training.loop.banks import BankRows
from portraitist.training.loop.checkpoints import (
    Checkpoint,
    difference,
    optimizer_state,
    restore_optimizer,
    whole,
)
from portraitist.training.loop.contracts import (
    Callback,
    LoopConfig,
    Observer,
    Outcome,
    ParameterGroup,
    Progress,
    StatefulTask,
    Task,
    Watch,
)
from portraitist.training.loop.files import BEST, LAST
from portraitist.training.loop.interrupts import Stop, stop_requested
from portraitist.training.loop.journal import Journal
from portraitist.training.loop.losses import Losses, NotFinite
from portraitist.training.loop.optimizers import OptimizerChoice, build_optimizer, set_training
from portraitist.training.loop.processes import Processes
from portraitist.training.loop.schedules import build_schedule
from portraitist.training.loop.showing import bar, where

__all__ = ["Callback", "Loop", "LoopConfig", "Outcome", "ParameterGroup", "Progress", "Stop", "Task", "Watch"]

_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Loop:
    """Train a task, with checkpoints in `folder`.

    Args:
        task: What to train.
        config: Settings of the loop.
        folder: Where checkpoints and the log go; None trains in memory only.
        callbacks: Called with the number of completed steps after each optimiser step.
        description: What the progress bar says.
        journal: Where numbers go, left open; into the folder when not given.
        watch: What evaluates the parameters, averaged if an average is kept, and says which are best.
        observers: Told after each step where the run is.
        stop: Set from elsewhere, it ends the run after the step in hand, as Ctrl-C does.
        clock: Seconds that pass; for tests.
    """

    def __init__(
        self,
        task: Task,
        config: LoopConfig,
        folder: Path | None = None,
        callbacks: Sequence[Callback] = (),
        description: str = "training",
        *,
        journal: Journal | None = None,
        watch: Watch | None = None,
        observers: Sequence[Observer] = (),
        stop: Stop | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.task, self.config, self.folder = task, config, folder
        self.callbacks, self.description, self.watch = callbacks, description, watch
        self.observers, self.stop, self._clock = observers, stop or Stop(), clock
        self.processes = Processes.current()
        self.journal = journal or Journal(folder if self.processes.is_first else None)
        groups = task.groups()
        self.parameters = {name: parameter for group in groups for name, parameter in group.parameters.items()}
        self.optimizer = build_optimizer(
            [group.settings() for group in groups],
            OptimizerChoice(config.optimizer, config.betas, config.epsilon),
        )
        self.schedule = build_schedule(self.optimizer, config)
        self._device = next(iter(self.parameters.values())).device.type
        self.average = new_average(self.parameters, config.average_decay)
        self._scaler = torch.amp.GradScaler(self._device, enabled=config.scale_gradients or config.precision == "fp16")
        self.bank = BankRows.of(task, config, list(self.parameters.values()), self._averages, self.processes.count)
        self.completed = 0
        self.seconds = self.watch_seconds = self.elapsed = 0.0
        self.losses = Losses(self.processes, self._device, config.read_every)
        self.best: dict[str, Tensor] = {}
        self.kept: int | None = None
        self._seen: dict[str, float] = {}

    def restart_average(self) -> None:
        """Begin the average anew with the parameters as they are, after they were set from elsewhere."""
        self.average = new_average(self.parameters, self.config.average_decay)

    @property
    def history(self) -> list[dict[str, float]]:
        """Return the lines of the log."""
        return self.journal.lines

    def run(self, resume: bool = False) -> Outcome:
        """Train to the last step, or until the watch says stop, and return what happened.

        Raises:
            TrainingInterrupted: On Ctrl-C or a termination signal, after a checkpoint was written.
            TrainingDiverged: When a loss or gradient is not finite; `rescue` finds the parameters worth keeping.
        """
        if resume:
            self._restore()
        elif self.folder is not None and self.processes.is_first:
            for name in (LAST, BEST):  # of a run that is started anew
                (self.folder / name).unlink(missing_ok=True)
        for parameter in self.parameters.values():
            parameter.requires_grad_(True)
        self.journal.start(self.completed)
        set_training(self.optimizer, True)
        began, before, first = self._clock(), self.elapsed, self.completed
        saved_at = time.monotonic()
        enough = False
        hidden = not self.processes.is_first
        with (
            stop_requested(self.stop) as stop,
            bar(self.config, self.description, self.completed, self.elapsed, hidden) as show,
        ):
            while self.share < 1 and not enough:
                started = time.monotonic()
                self._step()
                self.completed += 1
                self.seconds += time.monotonic() - started
                self.elapsed = self._agreed(before + self._clock() - began)
                self.schedule.advance(self.completed, self.share)
                self._log()
                rate = (self.completed - first) / max(self.elapsed - before, 1e-9)
                progress = where(self.config, self.completed, self.elapsed, rate, self.losses.means, self._seen)
                for observer in (show, *self.observers):
                    observer(progress)
                for callback in self.callbacks:
                    callback(self.completed)
                enough = self._evaluate()
                stopping = self.processes.any(stop.is_set)
                if stopping or time.monotonic() - saved_at > self.config.checkpoint_seconds:
                    self.save()
                    saved_at = time.monotonic()
                if stopping and self.share < 1 and not enough:
                    of = "" if self.config.steps is None else f" of {self.config.steps}"
                    raise TrainingInterrupted(f"step {self.completed}{of}", self.folder)
        self.save()
        set_training(self.optimizer, False)
        return Outcome(
            steps=self.completed,
            seconds=self.seconds,
            losses=self.losses.means,
            history=self.history,
            kept=self.kept,
            watch_seconds=self.watch_seconds,
            elapsed=self.elapsed,
            dropped=self.dropped,
        )

    @property
    def dropped(self) -> tuple[int, ...]:
        """Return the adapters of a bank that diverged."""
        return () if self.bank is None else self.bank.dropped

    @property
    def share(self) -> float:
        """Return how far the run is, in [0, 1]."""
        return self.config.progress(self.completed, self.elapsed)

    def _agreed(self, elapsed: float) -> float:
        """Return one clock for all processes, which must end together; none is asked for where nothing follows it."""
        return elapsed if self.config.seconds is None else self.processes.mean({"elapsed": elapsed})["elapsed"]

    def _step(self) -> None:
        """Take one optimiser step.

        Raises:
            TrainingDiverged: If a loss or gradient that was read is not finite.
        """
        with self._noticing():
            self._optimise()
            self.losses.finish(self.completed)

    @contextmanager
    def _noticing(self) -> Iterator[None]:
        """Say where the last good checkpoint is when a number that is read is not finite."""
        try:
            yield
        except NotFinite as error:
            raise self._diverged(error.what, error.step) from None

    def _optimise(self) -> None:
        for micro_step in range(self.config.accumulate):
            with self.autocast():
                losses = self.task.step(self.completed, micro_step)
            objective = losses["loss"]
            if self.bank is not None:
                objective, losses = self.bank.sum(losses)
            self.losses.add(self.completed, losses, 1 / self.config.accumulate)
            self._scaler.scale(objective / self.config.accumulate).backward()
        self.processes.mean_gradients(self.parameters.values())
        if self.bank is not None:
            self.bank.silence()
        self._scaler.unscale_(self.optimizer)
        norm = self._clip()
        if not self._scaler.is_enabled():  # a scaler passes over a step whose gradient is not finite
            self.losses.add_gradient(self.completed, norm)
        self._scaler.step(self.optimizer)
        self._scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        self.task.after_step()
        if self.average is not None:
            self.average.step(self.parameters.values())
        if self.bank is not None:
            self.bank.hold()

    def _averages(self) -> list[Tensor]:
        return [] if self.average is None else self.average.shadow_params

    def _clip(self) -> Tensor:
        """Clip gradients, those of a bank for each adapter, and return their norm."""
        if self.bank is not None:
            # A scaler passes over a step whose gradient is not finite.
            return self.bank.clip(self.config.max_gradient_norm, drop=not self._scaler.is_enabled())
        return torch.nn.utils.clip_grad_norm_(self.parameters.values(), self.config.max_gradient_norm)

    def autocast(self) -> torch.autocast:
        """Compute in the run's precision for a while."""
        precision = self.config.precision
        return torch.autocast(self._device, _AUTOCAST.get(precision), enabled=precision in _AUTOCAST)

    def _evaluate(self) -> bool:
        """Let the watch evaluate, if it is time; keep what it finds best, and say whether that is enough."""
        if self.watch is None or not self.watch.is_due(self.completed):
            return False
        started = time.monotonic()
        set_training(self.optimizer, False)
        with self.averaged(), torch.no_grad(), self.autocast():
            verdict, measured = self.watch.evaluate(self.completed)
            if verdict == "best":
                self.best = {name: parameter.detach().clone() for name, parameter in self.parameters.items()}
                self.kept = self.completed
        set_training(self.optimizer, True)
        self.watch_seconds += time.monotonic() - started
        self._seen = measured
        self.journal.write({"step": self.completed, **measured})
        if verdict == "best":
            self._save_best()
        return verdict == "stop"

    def keep(self) -> None:
        """Put the parameters in place that the run is kept with: the best seen, else the averaged, else the last."""
        if self.best:
            for name, parameter in self.parameters.items():
                parameter.data.copy_(self.best[name])
        elif self.average is not None:
            self.average.copy_to(self.parameters.values())

    def rescue(self) -> int | None:
        """Put the parameters in place that are worth keeping of a run that diverged, and return their step.

        Those are the best seen; else those of the last checkpoint, trained on from without harm; else, where they are
        finite, those that were reached. None if there are none.
        """
        if self.best:
            self.keep()
            return self.kept
        if self.folder is not None and (self.folder / LAST).exists():
            checkpoint = Checkpoint.load(self.folder / LAST)
            for name, value in (checkpoint.average or checkpoint.parameters).items():
                self.parameters[name].data.copy_(value)
            return checkpoint.step
        set_training(self.optimizer, False)
        self.keep()
        return self.completed if self._is_finite() else None

    def _diverged(self, what: str, step: int) -> TrainingDiverged:
        if self.folder is None or not (self.folder / LAST).exists():
            return TrainingDiverged(step, what)
        return TrainingDiverged(step, what, f"the last good checkpoint is {self.folder / LAST}")

    def _is_finite(self) -> bool:
        return all(bool(parameter.isfinite().all()) for parameter in self.parameters.values())

    def averaged(self) -> AbstractContextManager[None]:
        """Put the averaged parameters in place for a while (no change when no average is kept)."""
        return in_place(self.average, self.parameters)

    def save(self) -> None:
        """Write the last checkpoint, if the run has a folder and its parameters are still finite."""
        if self.folder is None or not self.processes.is_first or not self._is_finite():
            return
        names = list(self.parameters)
        average = dict(zip(names, self.average.shadow_params, strict=True)) if self.average else {}
        tensors, rest = optimizer_state(self.optimizer, names)
        Checkpoint(
            step=self.completed,
            parameters={name: parameter.data for name, parameter in self.parameters.items()},
            average=average,
            optimizer=tensors,
            counters={
                "schedule": self.schedule.state_dict(),
                "average_step": self.average.optimization_step if self.average else 0,
                "seconds": self.seconds,
                "elapsed": self.elapsed,
                "optimizer": rest,
                "scaler": self._scaler.state_dict(),
                "watch": self.watch.state() if self.watch else None,
                "watch_seconds": self.watch_seconds,
                "kept": self.kept,
                "dropped": self.dropped,
            },
            identity=self._identity(),
            task=self.task.state() if isinstance(self.task, StatefulTask) else {},
        ).save(self.folder / LAST)

    def _save_best(self) -> None:
        """Write the best parameters, and the checkpoint that knows of them."""
        if self.folder is None or not self.processes.is_first:
            return
        Checkpoint(self.completed, self.best, {}, {}, {}, self._identity()).save(self.folder / BEST)
        self.save()

    def _restore(self) -> None:
        if self.folder is None or not (self.folder / LAST).exists():
            return
        checkpoint = Checkpoint.load(self.folder / LAST)
        with whole(self.folder / LAST):
            # Settings that came later have their defaults in older checkpoints.
            settings = {**self._settings(LoopConfig(0)), **checkpoint.identity["loop"]}
            if {**checkpoint.identity, "loop": settings} != self._identity():
                changed = difference({**checkpoint.identity, "loop": settings}, self._identity())
                raise BadConfig(
                    f"{self.folder} holds another run: {changed}; resume it with the same settings, or delete"
                    f" {self.folder / LAST} to start over"
                )
            self._take_up(checkpoint)
        if self.kept is not None:
            best = Checkpoint.load(self.folder / BEST).parameters
            with whole(self.folder / BEST):
                self.best = {name: best[name].to(parameter.device) for name, parameter in self.parameters.items()}

    def _take_up(self, checkpoint: Checkpoint) -> None:
        counters = checkpoint.counters
        if checkpoint.step and not checkpoint.optimizer:
            raise KeyError("the optimiser's state")
        for name, parameter in self.parameters.items():
            parameter.data.copy_(checkpoint.parameters[name])
        restore_optimizer(self.optimizer, self.parameters, checkpoint.optimizer, counters.get("optimizer"))
        self.schedule.load_state_dict(counters["schedule"])
        for group, learning_rate in zip(self.optimizer.param_groups, self.schedule.get_last_lr(), strict=True):
            group["lr"] = learning_rate
        self._scaler.load_state_dict(counters.get("scaler", {}))
        if self.average is not None:
            restore_average(self.average, self.parameters, checkpoint.average, counters["average_step"])
        self.completed, self.seconds = checkpoint.step, counters["seconds"]
        self.elapsed = counters.get("elapsed", self.seconds)
        self.watch_seconds, self.kept = counters.get("watch_seconds", 0.0), counters.get("kept")
        if checkpoint.task and isinstance(self.task, StatefulTask):
            self.task.restore(checkpoint.task)
        if self.bank is not None:
            self.bank.restore(counters.get("dropped", ()))
        if self.watch is not None and counters.get("watch"):
            self.watch.restore(counters["watch"])

    def _settings(self, config: LoopConfig) -> dict[str, Any]:
        """Return the settings that two runs must share."""
        free = set(_FREE_TO_CHANGE)
        if self.config.schedule.startswith("constant") or self.config.schedule == "cooldown":
            free.add("steps")
        return {key: value for key, value in asdict(config).items() if key not in free}

    def _identity(self) -> dict[str, Any]:
        return json.loads(json.dumps({"task": self.task.identity(), "loop": self._settings(self.config)}))

    def _log(self) -> None:
        if self.completed % self.config.log_every and self.share < 1:
            return
        with self._noticing():
            self.losses.read()
        line = {"step": self.completed, "seconds": round(self.seconds, 1)}
        self.journal.write({**line, "lr": float(self.schedule.get_last_lr()[0]), **self.losses.means})


# What may differ when a run is resumed; a schedule that is constant but for its end may also be prolonged.
_FREE_TO_CHANGE = {"seconds", "checkpoint_seconds", "log_every", "read_every"}
