"""The loop: exact resuming, averaging, divergence, stopping."""

import os
import shutil
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from portraitist.cache import cached
from portraitist.errors import BadConfig, BadFile, TrainingDiverged, TrainingInterrupted, UnwritableFolder
from portraitist.randomness import torch_generator
from portraitist.training.loop.checkpoints import Checkpoint
from portraitist.training.loop.files import LAST
from portraitist.training.loop.loop import Loop, LoopConfig, ParameterGroup


class Regression:
    """Fit a small network to noisy data drawn per step."""

    def __init__(self, seed: int = 0, poison: int | None = None, rate: float = 1e-2, width: int = 8) -> None:
        torch.manual_seed(seed)
        self.rate = rate
        self.model = nn.Sequential(nn.Conv2d(2, width, 3), nn.SiLU(), nn.Conv2d(width, 1, 3))
        if width == 8:  # adamw8bit changes the layout on the way, and with it the last bit
            self.model.to(memory_format=torch.channels_last)
        self.poison = poison
        self.batches: list[tuple[int, int]] = []

    def groups(self) -> Sequence[ParameterGroup]:
        named = dict(self.model.named_parameters())
        biases = {name: value for name, value in named.items() if name.endswith("bias")}
        weights = {name: value for name, value in named.items() if name not in biases}
        biases_rate = 3 * self.rate if self.rate < 1 else self.rate  # Prodigy wants one rate
        return [ParameterGroup(weights, self.rate, 0.1, hidden=True), ParameterGroup(biases, biases_rate)]

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


class Remembering(Regression):
    """A regression whose loss is scaled by what it remembers of earlier steps."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self.mean, self.count = torch.tensor(1.0, dtype=torch.float64), torch.tensor(0)
        self.last = torch.zeros(6, dtype=torch.bfloat16)

    def step(self, step: int, micro_step: int) -> Mapping[str, Tensor]:
        losses = super().step(step, micro_step)
        self.mean = 0.9 * self.mean + 0.1 * losses["loss"].detach().double()
        self.count += 1
        self.last = self.last.roll(1) + self.mean.bfloat16()
        return {"loss": losses["loss"] / self.mean.float() + self.last.float().mean() * losses["loss"]}

    def state(self) -> Mapping[str, Tensor]:
        return {"mean": self.mean, "count": self.count, "first half": self.last[:3], "second half": self.last[3:]}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        self.mean, self.count = state["mean"], state["count"]
        self.last = torch.cat([state["first half"], state["second half"]])


def test_what_a_task_remembers_is_kept_in_checkpoints(tmp_path: Path) -> None:
    def interrupt(completed: int) -> None:
        if completed == 5:
            os.kill(os.getpid(), signal.SIGTERM)

    task, resumed_task = Remembering(), Remembering(seed=9)
    through = Loop(task, CONFIG)
    through.run()
    with pytest.raises(TrainingInterrupted):
        Loop(Remembering(), CONFIG, tmp_path, [interrupt]).run()
    resumed = Loop(resumed_task, CONFIG, tmp_path)
    resumed.run(resume=True)
    assert all(torch.equal(a, b) for a, b in zip(state(through), state(resumed), strict=True))
    for name, value in task.state().items():
        assert torch.equal(value, resumed_task.state()[name]), name
        assert value.dtype is resumed_task.state()[name].dtype
    Loop(Remembering(seed=9), CONFIG, tmp_path).run(resume=True)  # a finished run has nothing left to do


def test_a_task_without_memory_has_the_checkpoint_it_had(tmp_path: Path) -> None:
    Loop(Regression(), CONFIG, tmp_path).run()
    with safe_open(tmp_path / LAST, framework="pt") as file:
        assert {key.partition("/")[0] for key in file.keys()} == {"parameter", "average", "optimizer"}  # noqa: SIM118


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
    spoilt = Loop(Regression(poison=0), CONFIG, tmp_path)
    with pytest.raises(TrainingDiverged, match="nothing was kept"):
        spoilt.run()
    assert spoilt.rescue() == 0, "not the checkpoint of the run before"


def test_another_run_is_not_resumed(tmp_path: Path) -> None:
    Loop(Regression(), CONFIG, tmp_path).run()
    other = LoopConfig(**{**vars(CONFIG), "max_gradient_norm": 2.0})
    with pytest.raises(BadConfig, match=r"loop\.max_gradient_norm was 1\.0 and is 2\.0 now"):
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
    with pytest.raises(
        TrainingDiverged, match=r"not finite at step 5; the last good checkpoint is .*last\.safetensors"
    ):
        Loop(Regression(poison=5), config, tmp_path).run()
    checkpoint = Checkpoint.load(tmp_path / LAST)
    assert checkpoint.step == 5
    assert all(tensor.isfinite().all() for tensor in checkpoint.parameters.values())


def test_what_is_worth_keeping_of_a_run_that_diverged(tmp_path: Path) -> None:
    """The last checkpoint, else what was reached while it is finite; what is not finite is never written."""
    config = LoopConfig(steps=9)
    loop = Loop(Regression(poison=5), config)
    with pytest.raises(TrainingDiverged):
        loop.run()
    assert loop.rescue() == 5
    (spoilt,) = list(loop.parameters.values())[:1]
    spoilt.data.fill_(float("nan"))
    assert loop.rescue() is None
    loop.folder = tmp_path
    loop.save()
    assert not (tmp_path / LAST).exists()
    Loop(Regression(), LoopConfig(steps=3), tmp_path).run()
    assert loop.rescue() == 3
    assert spoilt.isfinite().all()


def test_small_gradients_of_half_precision_are_scaled() -> None:
    class Faint(Regression):
        def step(self, step: int, micro_step: int) -> Mapping[str, Tensor]:
            """Learn through numbers of 16 bits, where what follows makes the gradients vanish."""
            total = sum(parameter.half().square().sum() for parameter in self.model.parameters())
            return {"loss": (total * 1e-4).float() * 1e-4}

    start, ends = Faint().model[2].bias, []
    for scaled in (False, True):
        task = Faint()
        Loop(task, LoopConfig(steps=2, scale_gradients=scaled)).run()
        ends.append(task.model[2].bias)
    assert [torch.equal(start, end) for end in ends] == [True, False]


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


OPTIMIZERS = ("adamw", "adamw8bit", "prodigy", "prodigy-plus", "muon")


def rate(optimizer: str) -> float:
    return 1.0 if optimizer.startswith("prodigy") else 1e-2


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_resumes_bit_identically(tmp_path: Path, name: str) -> None:
    def task(seed: int = 0) -> Regression:
        return Regression(seed, rate=rate(name), width=256)  # wide enough for moments in eight bits

    def interrupt(completed: int) -> None:
        if completed == 5:
            os.kill(os.getpid(), signal.SIGTERM)

    config = LoopConfig(steps=8, optimizer=name)
    through = Loop(task(), config)
    through.run()
    with pytest.raises(TrainingInterrupted):
        Loop(task(), config, tmp_path, [interrupt]).run()
    resumed = Loop(task(seed=9), config, tmp_path)
    resumed.run(resume=True)
    for one, other in zip(through.parameters.values(), resumed.parameters.values(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_lowers_the_loss(name: str) -> None:
    config = LoopConfig(steps=150, log_every=10, optimizer=name, max_gradient_norm=1e9)
    history = Loop(Regression(rate=rate(name)), config).run().history
    assert history[-1]["loss"] < 0.7 * history[0]["loss"]


def test_prodigy_refuses_a_rate_meant_for_others() -> None:
    with pytest.raises(BadConfig, match="prodigy finds its learning rate itself"):
        Loop(Regression(), LoopConfig(steps=1, optimizer="prodigy"))


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_reduced_precision_keeps_float32_parameters(tmp_path: Path, precision: str) -> None:
    loop = Loop(Regression(), LoopConfig(steps=60, precision=precision, log_every=10), tmp_path)
    outcome = loop.run()
    assert outcome.history[-1]["loss"] < 0.8 * outcome.history[0]["loss"]
    assert {parameter.dtype for parameter in loop.parameters.values()} == {torch.float32}


@pytest.mark.parametrize(
    ("schedule", "settings", "rates"),
    [
        ("linear", {}, [0.01, 0.0075, 0.005, 0.0025]),
        ("polynomial", {"power": 2.0}, [0.01, 0.005625, 0.0025, 0.000625]),
        ("cosine_with_restarts", {"cycles": 2}, [0.01, 0.005, 0.01, 0.005]),
        ("piecewise_constant", {"step_rules": "1:2,0.5:3,0.1"}, [0.01, 0.01, 0.005, 0.001]),
    ],
)
def test_schedules_of_diffusers(schedule: str, settings: dict[str, Any], rates: list[float]) -> None:
    loop = Loop(Regression(), LoopConfig(steps=4, schedule=schedule, **settings))
    seen = [loop.schedule.get_last_lr()[0]]
    loop.callbacks = [lambda step: seen.append(loop.schedule.get_last_lr()[0])]
    loop.run()
    assert seen[:4] == pytest.approx(rates, abs=1e-5)


def test_a_log_whose_last_line_was_cut_off_is_gone_on_with(tmp_path: Path) -> None:
    Loop(Regression(), LoopConfig(steps=4, log_every=1), tmp_path).run()
    log = tmp_path / "log.jsonl"
    log.write_bytes(log.read_bytes() + b'{"step": 4, "lo\xff')
    outcome = Loop(Regression(), LoopConfig(steps=5, log_every=1), tmp_path).run(resume=True)
    assert [line["step"] for line in outcome.history] == [1, 2, 3, 4, 5]


def test_a_disk_that_is_full_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device")

    monkeypatch.setattr("portraitist.training.loop.checkpoints.save_file", fail)
    with pytest.raises(UnwritableFolder, match=r"cannot write .*last\.safetensors: .*No space left on device"):
        Loop(Regression(), LoopConfig(steps=1), tmp_path).run()
    monkeypatch.setattr("portraitist.cache.save_file", fail)
    with pytest.raises(UnwritableFolder, match=r"set \$PORTRAITIST_CACHE to a folder"):
        cached("nothing", "0", lambda: {"a": torch.zeros(1)})


@pytest.mark.parametrize("rules", [None, "soon", "1:2,x"])
def test_rules_that_cannot_be_read_are_refused(rules: str | None) -> None:
    with pytest.raises(BadConfig, match="piecewise_constant"):
        Loop(Regression(), LoopConfig(steps=4, schedule="piecewise_constant", step_rules=rules))


def test_a_gradient_that_is_not_finite_stops_the_run() -> None:
    class Infinite(Regression):
        def step(self, step: int, micro_step: int) -> Mapping[str, Tensor]:
            error = super().step(step, micro_step)["loss"]
            return {"loss": error + (error - error.detach()).sqrt()}  # the root's slope at zero is infinite

    with pytest.raises(TrainingDiverged, match="gradient is not finite at step 0"):
        Loop(Infinite(), LoopConfig(steps=3)).run()


@pytest.mark.parametrize("part", ["optimizer", "parameters", "schedule", "loop"])
def test_a_checkpoint_without_a_part_of_its_state_is_one_line(tmp_path: Path, part: str) -> None:
    Loop(Regression(), LoopConfig(steps=3), tmp_path).run()
    there = Checkpoint.load(tmp_path / LAST)
    for holder in (vars(there), there.counters, there.identity):
        if part in holder:
            holder.pop(part) if holder is not vars(there) else holder[part].clear()
            break
    there.save(tmp_path / LAST)
    with pytest.raises(BadFile, match=r"last\.safetensors lacks what the run needs to continue"):
        Loop(Regression(), LoopConfig(steps=5), tmp_path).run(resume=True)


def test_a_folder_that_is_taken_away_meanwhile_is_made_again(tmp_path: Path) -> None:
    folder = tmp_path / "run"

    def take_away(step: int) -> None:
        if step == 2:
            shutil.rmtree(folder)

    Loop(Regression(), LoopConfig(steps=4, log_every=1), folder, [take_away]).run()
    assert Checkpoint.load(folder / LAST).step == 4
    assert (folder / "log.jsonl").exists()


def test_a_checkpoint_from_before_a_setting_existed_is_resumed(tmp_path: Path) -> None:
    loop = Loop(Regression(), LoopConfig(steps=3), tmp_path)
    loop.run()
    old = Checkpoint.load(tmp_path / LAST)
    del old.identity["loop"]["optimizer"], old.counters["optimizer"], old.counters["watch"]
    old.save(tmp_path / LAST)
    prolonged = Loop(Regression(), LoopConfig(steps=5), tmp_path)
    assert prolonged.run(resume=True).steps == 5
