"""The loop: exact resuming, averaging, divergence, stopping."""

import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from portraitist.errors import BadConfig, BadFile, TrainingDiverged, TrainingInterrupted
from portraitist.randomness import torch_generator
from portraitist.training.checkpoints import LAST, Checkpoint
from portraitist.training.loop import Loop, LoopConfig, ParameterGroup


class Regression:
    """Fit a small network to noisy data drawn per step."""

    def __init__(self, seed: int = 0, poison: int | None = None) -> None:
        torch.manual_seed(seed)
        self.model = nn.Sequential(nn.Conv2d(2, 8, 3), nn.SiLU(), nn.Conv2d(8, 1, 3))
        self.model.to(memory_format=torch.channels_last)
        self.poison = poison
        self.batches: list[tuple[int, int]] = []

    def groups(self) -> Sequence[ParameterGroup]:
        named = dict(self.model.named_parameters())
        biases = {name: value for name, value in named.items() if name.endswith("bias")}
        weights = {name: value for name, value in named.items() if name not in biases}
        return [ParameterGroup(weights, 1e-2, 0.1), ParameterGroup(biases, 3e-2)]

    def step(self, step: int, micro_step: int) -> Mapping[str, Tensor]:
        self.batches.append((step, micro_step))
        x = torch.randn(4, 2, 7, 7, generator=torch_generator(0, "data", 10 * step + micro_step))
        error = (self.model(x) - x.mean(1, keepdim=True)[..., 2:-2, 2:-2]).square().mean()
        return {"loss": error * (float("nan") if step == self.poison else 1.0), "error": error}

    def after_step(self) -> None:
        pass

    def identity(self) -> dict[str, Any]:
        return {"task": "regression"}


CONFIG = LoopConfig(steps=12, accumulate=2, schedule="cosine", warmup_steps=3, average_decay=0.9, log_every=4)


def state(loop: Loop) -> list[Tensor]:
    assert loop.average is not None
    return [*loop.parameters.values(), *loop.average.shadow_params]


def test_training_lowers_the_loss() -> None:
    outcome = Loop(Regression(), LoopConfig(steps=150, log_every=10)).run()
    assert outcome.history[-1]["loss"] < 0.5 * outcome.history[0]["loss"]


@pytest.mark.parametrize("stop_after", [1, 5, 11])
def test_a_resumed_run_is_bit_identical(tmp_path: Path, stop_after: int) -> None:
    through = Loop(Regression(), CONFIG)
    through.run()

    def interrupt(completed: int) -> None:
        if completed == stop_after:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(TrainingInterrupted, match=f"after step {stop_after} of 12"):
        Loop(Regression(), CONFIG, tmp_path, [interrupt]).run()
    resumed = Loop(Regression(seed=9), CONFIG, tmp_path)
    resumed.run(resume=True)
    assert resumed.completed == 12
    assert all(torch.equal(a, b) for a, b in zip(state(through), state(resumed), strict=True))


def test_resuming_continues_where_it_stopped(tmp_path: Path) -> None:
    Loop(Regression(), CONFIG, tmp_path).run()
    task = Regression()
    Loop(task, CONFIG, tmp_path).run(resume=True)
    assert task.batches == []


def test_without_resume_a_run_starts_anew(tmp_path: Path) -> None:
    Loop(Regression(), CONFIG, tmp_path).run()
    task = Regression()
    Loop(task, CONFIG, tmp_path).run()
    assert task.batches[0] == (0, 0)
    assert len(task.batches) == 24


def test_another_run_is_not_resumed(tmp_path: Path) -> None:
    Loop(Regression(), CONFIG, tmp_path).run()
    other = LoopConfig(**{**vars(CONFIG), "max_gradient_norm": 2.0})
    with pytest.raises(BadConfig, match=r"loop\.max_gradient_norm is 1\.0 there and 2\.0 here"):
        Loop(Regression(), other, tmp_path).run(resume=True)


def test_a_constant_schedule_may_be_prolonged(tmp_path: Path) -> None:
    short, long = (LoopConfig(steps=steps, schedule="constant", average_decay=0.9) for steps in (4, 8))
    Loop(Regression(), short, tmp_path).run()
    prolonged, through = Loop(Regression(), long, tmp_path), Loop(Regression(), long)
    prolonged.run(resume=True)
    through.run()
    assert all(torch.equal(a, b) for a, b in zip(state(through), state(prolonged), strict=True))


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_checkpoint(tmp_path: Path) -> None:
    config = LoopConfig(steps=9, checkpoint_seconds=0)
    with pytest.raises(TrainingDiverged, match="not finite at step 5"):
        Loop(Regression(poison=5), config, tmp_path).run()
    checkpoint = Checkpoint.load(tmp_path / LAST)
    assert checkpoint.step == 5
    assert all(tensor.isfinite().all() for tensor in checkpoint.parameters.values())


def test_averaged_parameters_are_put_back() -> None:
    loop = Loop(Regression(), CONFIG)
    loop.run()
    before = [value.clone() for value in loop.parameters.values()]
    with loop.averaged():
        assert not torch.equal(next(iter(loop.parameters.values())), before[0])
    assert all(torch.equal(a, b) for a, b in zip(loop.parameters.values(), before, strict=True))


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    (tmp_path / LAST).write_bytes(b"\x10" + b"\0" * 30)
    with pytest.raises(BadFile, match=r"last\.safetensors cannot be read as a checkpoint"):
        Loop(Regression(), CONFIG, tmp_path).run(resume=True)


def test_a_second_interrupt_is_not_swallowed(tmp_path: Path) -> None:
    handler = signal.getsignal(signal.SIGINT)

    def interrupt_twice(completed: int) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        Loop(Regression(), CONFIG, tmp_path, [interrupt_twice]).run()
    assert signal.getsignal(signal.SIGINT) is handler
