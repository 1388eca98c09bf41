"""Nothing makes the CPU wait for the device layer by layer or step by step."""

from collections import Counter
from collections.abc import Callable

import pytest
import torch
from device_matrix import METHODS, draw, moved
from torch.profiler import ProfilerActivity, profile

from portraitist.adapters import Attachment, attached, stack
from portraitist.bases import Base
from portraitist.training.loop.banks import BankRows
from portraitist.training.personalise import train
from portraitist.training.recipes import load_recipe
from portraitist.training.subjects import Subject

pytestmark = pytest.mark.gpu
Load = Callable[[str, torch.dtype], Base]

# Reading a number of a tensor: the CPU waits until the device has come so far.
WAITING = ("aten::_local_scalar_dense", "aten::nonzero")


def waits(work: Callable[[], object]) -> Counter[str]:
    """Count the operators during which the CPU waits for a device."""
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        work()
    return Counter(event.name for event in seen.events() if event.name in WAITING)


@pytest.mark.parametrize("method", METHODS)
def test_an_adapted_pass_and_its_gradient(device: str, load: Load, method: str) -> None:
    base = load(device, torch.float32)
    adapter = moved(draw(load("cpu", torch.float32), method), device)
    for parameter in adapter.named_parameters().values():
        parameter.requires_grad_()
    noised, timesteps = torch.randn(1, 4, 8, 8, device=device), torch.tensor([400], device=device)

    def work() -> None:
        conditions = base.family.encode_prompts(["a photo of a sks cat"])
        base.family.predict(noised, timesteps, conditions).square().sum().backward()

    frozen = waits(lambda: base.family.predict(noised, timesteps, base.family.encode_prompts(["a photo of a sks cat"])))
    with attached(base.components, adapter):
        work()
        assert waits(work) <= frozen


def test_serving_other_adapters(device: str, load: Load) -> None:
    base = load(device, torch.float32)
    bank = moved(stack([draw(load("cpu", torch.float32), "lora", seed) for seed in range(3)]), device)
    attachment = Attachment(base.components).attach(bank)
    assert not waits(lambda: attachment.serve([2, None, 0], scales=[1.0, 1.0, 0.5]))
    assert not waits(lambda: attachment.feed("default", bank.values))
    attachment.detach()


def test_a_step_of_a_bank(device: str) -> None:
    value = torch.nn.Parameter(torch.randn(3, 4, device=device))
    rows = BankRows(3, [value], list)

    def step() -> None:
        objective, _ = rows.sum({"loss": value.square().sum(1)})
        objective.backward()
        rows.silence()
        rows.clip(1.0)
        rows.hold()

    step()
    assert not waits(step)


def test_steps_of_training(device: str, load: Load, subject: Subject) -> None:
    """A longer run waits no more often than a shorter one, but to read its losses now and then."""
    if device == "cpu":
        pytest.skip("on a CPU every step's loss is read at once")
    counts = []
    for steps in (20, 40):
        recipe = load_recipe("lora", "toyland", "sd", overrides={"steps": steps, "prior": "none"})
        counts.append(waits(lambda recipe=recipe: train(load(device, torch.float32), subject, recipe)).total())
    assert counts[1] - counts[0] < 20
