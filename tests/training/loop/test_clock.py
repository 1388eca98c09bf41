"""Runs by the clock: they end in time, cool down, and go on exactly where they were."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from portraitist.errors import BadConfig, TrainingDiverged, TrainingInterrupted
from portraitist.randomness import torch_generator
from portraitist.training.loop.contracts import Progress
from portraitist.training.loop.loop import Loop, LoopConfig, ParameterGroup, Stop


class Timed:
    """Fit a line; every step takes two seconds of its own clock."""

    def __init__(self, poison: int | None = None) -> None:
        torch.manual_seed(0)
        self.model = nn.Linear(4, 4)
        self.now = 100.0
        self.poison = poison

    def groups(self) -> Sequence[ParameterGroup]:
        return [
            ParameterGroup({"weight": self.model.weight}, 0.1, hidden=True),
            ParameterGroup({"bias": self.model.bias}, 0.1),
        ]

    def step(self, step: int, micro_step: int) -> Mapping[str, Tensor]:
        self.now += 2.0
        x = torch.randn(8, 4, generator=torch_generator(0, "data", step))
        loss = (self.model(x) - x.flip(1)).square().mean()
        return {"loss": loss * (float("nan") if step == self.poison else 1.0)}

    def after_step(self) -> None:
        pass

    def identity(self) -> dict[str, Any]:
        return {"task": "timed"}

    def clock(self) -> float:
        return self.now


CONFIG = LoopConfig(steps=None, seconds=40.0, schedule="cooldown", warmup_steps=3, average_decay=0.9, log_every=1)


def rates(loop: Loop) -> list[float]:
    return [line["lr"] for line in loop.history]


def test_a_run_ends_when_its_time_is_up() -> None:
    task = Timed()
    loop = Loop(task, CONFIG, clock=task.clock)
    outcome = loop.run()
    assert outcome.steps == 20
    assert outcome.elapsed == 40.0
    # warm-up, constant, and down over the last fifth: what is logged is the rate of the step to come
    assert rates(loop)[:4] == pytest.approx([0.05, 0.075, 0.1, 0.1])
    assert rates(loop)[14:] == pytest.approx([0.1, 0.1, 0.075, 0.05, 0.025, 0.0])


def test_whichever_comes_first_ends_a_run() -> None:
    task = Timed()
    loop = Loop(task, LoopConfig(steps=10, seconds=40.0, schedule="cooldown", log_every=1), clock=task.clock)
    assert loop.run().steps == 10
    assert rates(loop)[-3:] == pytest.approx([0.1, 0.05, 0.0])


def test_a_cooldown_can_be_counted_in_steps() -> None:
    loop = Loop(Timed(), LoopConfig(steps=10, schedule="cooldown", log_every=1))
    loop.run()
    assert rates(loop)[6:] == pytest.approx([0.1, 0.1, 0.05, 0.0])


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_a_run_by_the_clock_resumes_bit_identically(tmp_path: Path, precision: str) -> None:
    settings = {**vars(CONFIG), "optimizer": "muon", "precision": precision, "read_every": 4}
    config = LoopConfig(**settings)
    through_task, first_task, second_task = Timed(), Timed(), Timed()
    through = Loop(through_task, config, clock=through_task.clock)
    through.run()
    stop = Stop()

    def interrupt(completed: int) -> None:
        stop.is_set = completed == 13

    with pytest.raises(TrainingInterrupted, match="stopped after step 13; "):
        Loop(first_task, config, tmp_path, [interrupt], stop=stop, clock=first_task.clock).run()
    second_task.now = 5000.0  # another day
    resumed = Loop(second_task, config, tmp_path, clock=second_task.clock)
    assert resumed.run(resume=True).elapsed == 40.0
    assert resumed.completed == 20
    for one, other in zip(through.parameters.values(), resumed.parameters.values(), strict=True):
        assert torch.equal(one, other)


def test_more_time_prolongs_a_run(tmp_path: Path) -> None:
    task = Timed()
    Loop(task, CONFIG, tmp_path, clock=task.clock).run()
    config = LoopConfig(**{**vars(CONFIG), "seconds": 60.0})
    assert Loop(task, config, tmp_path, clock=task.clock).run(resume=True).steps == 30


def test_observers_are_told_where_the_run_is() -> None:
    task, seen = Timed(), list[Progress]()
    Loop(task, CONFIG, observers=[seen.append], clock=task.clock).run()
    assert [progress.step for progress in seen] == list(range(1, 21))
    assert seen[4].share == pytest.approx(0.25)
    assert seen[4].remaining == pytest.approx(30.0)
    assert seen[4].rate == pytest.approx(0.5)
    assert seen[-1].losses["loss"] > 0


def test_losses_read_together_are_those_read_one_by_one() -> None:
    histories = []
    for every in (1, 3):
        loop = Loop(Timed(), LoopConfig(steps=10, log_every=5, read_every=every))
        loop.run()
        histories.append([line["loss"] for line in loop.history])
    assert histories[0] == pytest.approx(histories[1], rel=1e-6)


def test_a_loss_that_is_not_finite_is_named_by_its_step_though_read_later(tmp_path: Path) -> None:
    with pytest.raises(TrainingDiverged, match="gradient is not finite at step 5"):
        Loop(Timed(poison=5), LoopConfig(steps=20, read_every=8), tmp_path).run()
    assert not (tmp_path / "last.safetensors").exists()


def test_a_run_without_an_end_and_a_schedule_that_knows_no_clock_are_refused() -> None:
    with pytest.raises(BadConfig, match="a run needs an end"):
        LoopConfig(steps=None)
    with pytest.raises(BadConfig, match="polynomial cannot follow the clock; these can: constant"):
        Loop(Timed(), LoopConfig(steps=None, seconds=1.0, schedule="polynomial"))
