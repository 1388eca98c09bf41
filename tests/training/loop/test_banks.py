"""A bank is trained as its adapters would be alone: clipped, summed and dropped one by one."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from portraitist.adapters import Adapter, Attachment, find_layers, stack, unstack
from portraitist.errors import BadConfig, TrainingDiverged
from portraitist.randomness import torch_generator
from portraitist.training.loop.loop import Loop, LoopConfig, ParameterGroup

SIZE, POISONED, AT = 3, 1, 4
CONFIG = LoopConfig(
    steps=10, accumulate=2, schedule="cosine", warmup_steps=2, max_gradient_norm=0.05, average_decay=0.9
)


def draw_adapters() -> tuple[dict[str, nn.Module], list[Adapter]]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        components: dict[str, nn.Module] = {"m": nn.Sequential(nn.Linear(6, 8), nn.SiLU(), nn.Linear(8, 4))}
    specs = find_layers(components, ["m.*"])
    return components, [
        Adapter.create("lora", {"rank": 2}, specs, torch.Generator().manual_seed(seed)) for seed in range(SIZE)
    ]


class Fitting:
    """Fit adapters to targets of their own; one of them meets a number that is not finite."""

    rate = 3e-2

    def __init__(self, model: nn.Module, adapter: Adapter, numbers: Sequence[int], poison: str | None) -> None:
        self.model, self.adapter, self.numbers, self.poison = model, adapter, numbers, poison

    @property
    def bank_size(self) -> int | None:
        return self.adapter.bank_size

    def groups(self) -> Sequence[ParameterGroup]:
        named = self.adapter.named_parameters().items()
        leaves = {name: value for name, value in named if isinstance(value, nn.Parameter)}
        return [ParameterGroup(leaves, self.rate, 0.1)]

    def step(self, step: int, micro_step: int) -> Mapping[str, Tensor]:
        draws = [torch_generator(number, "data", 10 * step + micro_step) for number in self.numbers]
        x = torch.cat([torch.randn(5, 6, generator=draw) for draw in draws])
        scales = torch.tensor(self.numbers).repeat_interleave(5)[:, None] + 1.0
        errors = (self.model(x) - 20 * scales * x[:, :4]).square().mean(1).unflatten(0, (len(self.numbers), 5)).mean(1)
        if step >= AT and self.poison is not None:
            factor = torch.tensor([float("nan") if number == POISONED else 1.0 for number in self.numbers])
            errors = errors * factor if self.poison == "loss" else _Spoil.apply(errors, factor)
        return {"loss": errors if self.bank_size else errors[0]}

    def after_step(self) -> None:
        pass

    def identity(self) -> dict[str, Any]:
        return {"task": "fitting"}


class _Spoil(torch.autograd.Function):
    """Leave values as they are, and multiply gradients."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, factor: Tensor) -> Tensor:
        ctx.save_for_backward(factor)
        return values.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad * ctx.saved_tensors[0], None


def train_alone(number: int, poison: str | None) -> Loop:
    components, adapters = draw_adapters()
    attachment = Attachment(components).attach(adapters[number])
    loop = Loop(Fitting(components["m"], adapters[number], [number], poison), CONFIG)
    if poison is not None and number == POISONED:
        with pytest.raises(TrainingDiverged):
            loop.run()
    else:
        loop.run()
    attachment.detach()
    return loop


def bank_loop(poison: str | None, folder: Path | None = None, config: LoopConfig = CONFIG) -> tuple[Loop, Adapter]:
    components, adapters = draw_adapters()
    bank = stack(adapters)
    Attachment(components).attach(bank)
    return Loop(Fitting(components["m"], bank, range(SIZE), poison), config, folder), bank


@pytest.mark.parametrize("poison", [None, "loss", "gradient"])
def test_a_bank_trains_as_single_runs_do(poison: str | None) -> None:
    loop, bank = bank_loop(poison)
    outcome = loop.run()
    assert outcome.dropped == (() if poison is None else (POISONED,))
    for number, trained in enumerate(unstack(bank)):
        alone = train_alone(number, poison)
        for name, value in alone.parameters.items():
            torch.testing.assert_close(trained.named_parameters()[name], value, rtol=1e-5, atol=1e-5)
        assert alone.average is not None
        assert loop.average is not None
        for together, single in zip(loop.average.shadow_params, alone.average.shadow_params, strict=True):
            torch.testing.assert_close(together[number], single, rtol=1e-5, atol=1e-5)
        assert alone.completed == (AT if poison is not None and number == POISONED else CONFIG.steps)


def test_a_bank_is_resumed_without_those_that_were_dropped(tmp_path: Path) -> None:
    through, _ = bank_loop("loss")
    through.run()
    first, _ = bank_loop("loss", tmp_path)
    first.callbacks = [lambda completed: first.save() if completed == 6 else None]
    first.callbacks = [*first.callbacks, _stop_after(7)]
    with pytest.raises(KeyboardInterrupt):
        first.run()
    second, _ = bank_loop(None, tmp_path)  # sound again, but what was dropped stays dropped
    outcome = second.run(resume=True)
    assert outcome.dropped == (POISONED,)
    for one, other in zip(through.parameters.values(), second.parameters.values(), strict=True):
        assert torch.equal(one, other)


def _stop_after(step: int) -> Any:
    def callback(completed: int) -> None:
        if completed == step:
            raise KeyboardInterrupt

    return callback


def test_a_bank_of_which_none_is_left_has_diverged() -> None:
    components, adapters = draw_adapters()
    bank = stack([adapters[POISONED]] * 2)
    Attachment(components).attach(bank)
    task = Fitting(components["m"], bank, [POISONED] * 2, "loss")
    with pytest.raises(TrainingDiverged, match=f"not finite at step {AT}"):
        Loop(task, CONFIG).run()


def test_optimisers_that_mix_adapters_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Fitting, "rate", 1.0)  # as it wants it
    with pytest.raises(BadConfig, match="prodigy would mix its adapters"):
        bank_loop(None, config=replace(CONFIG, optimizer="prodigy"))
