"""Dropout while an adapter is trained: what is left out, that nothing of it stays, and that runs resume bit for bit."""

from collections.abc import Mapping
from pathlib import Path
from signal import SIGINT, raise_signal
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from portraitist.adapters import Adapter, Attachment, find_layers
from portraitist.bases import Base
from portraitist.errors import BadConfig, TrainingInterrupted
from portraitist.training.dropout import WithDropout
from portraitist.training.personalise import train
from portraitist.training.recipes import Recipe, load_recipe
from portraitist.training.subjects import Subject

LAYERS = 200


class Sums:
    """A task that runs a stack of layers on ones and keeps what came out of each."""

    def __init__(self, layers: torch.nn.ModuleList) -> None:
        self.layers, self.seen = layers, []

    def groups(self) -> list[Any]:
        return []

    def identity(self) -> dict[str, Any]:
        return {}

    def attached(self, attachment: Attachment) -> None:
        pass

    def after_step(self) -> None:
        pass

    def step(self, step: int, micro_step: int) -> Mapping[str, Tensor]:
        with torch.no_grad():
            self.seen.append(torch.stack([layer(torch.ones(4, 6, 8)) for layer in self.layers]))
        return {"loss": torch.zeros(())}


@pytest.fixture
def recipe() -> Recipe:
    return load_recipe("lora", "toyland", "sd", overrides={"prior": "none"})


def run(recipe: Recipe, steps: int) -> tuple[list[Tensor], Tensor]:
    """Return what a stack of layers says in each step, every change being 1, and without dropout."""
    layers = torch.nn.ModuleList([torch.nn.Linear(8, 8, bias=False) for _ in range(LAYERS)])
    for layer in layers:
        torch.nn.init.zeros_(layer.weight)
    specs = find_layers({"m": layers}, ["m.*"])
    adapter = Adapter.create("lora", {"rank": 1}, specs, torch.Generator())
    for params in adapter.values.values():
        params["down"].data.fill_(1 / 8)
        params["up"].data.fill_(1.0)
    attachment = Attachment({"m": layers}).attach(adapter)
    task = WithDropout(Sums(layers), recipe)  # type: ignore[arg-type]
    task.attached(attachment)
    for step in range(steps):
        task.step(step, 0)
    seen = task.task.seen  # type: ignore[attr-defined]
    task.after_step()
    task.task.step(0, 0)
    return seen[:-1], seen[-1]


def test_a_share_of_the_numbers_is_zeroed_and_the_rest_grows(recipe: Recipe) -> None:
    seen, whole = run(recipe.replace({"dropout": {"branch": 0.25}}), 2)
    assert torch.equal(whole, torch.ones_like(whole))
    for values in seen:
        torch.testing.assert_close(values[values != 0], torch.full_like(values[values != 0], 4 / 3))
        assert float((values == 0).float().mean()) == pytest.approx(0.25, abs=0.02)
    assert not torch.equal(*seen)
    again, _ = run(recipe.replace({"dropout": {"branch": 0.25}}), 2)
    assert all(map(torch.equal, seen, again))
    other, _ = run(recipe.replace({"dropout": {"branch": 0.25}, "seed": 1}), 1)
    assert not torch.equal(seen[0], other[0])


def test_whole_layers_are_left_out(recipe: Recipe) -> None:
    (first, second), _ = run(recipe.replace({"dropout": {"layers": 0.4}}), 2)
    means = first.flatten(1).mean(1)
    assert set(means.tolist()) == {0.0, 1.0}
    assert float(means.mean()) == pytest.approx(0.6, abs=0.15)
    assert not torch.equal(first, second)


def test_off_unless_asked_for(recipe: Recipe) -> None:
    assert not recipe.dropout.is_on
    with pytest.raises(BadConfig, match=r"dropout\.branch"):
        load_recipe("lora", "toyland", "sd", overrides={"network_dropout": 0.1})


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_run_resumes_bit_for_bit(base: Base, tmp_path: Path, method: str) -> None:
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8))
    subject = Subject("mine", "cat", "sks", (photo,), (Path("mine.png"),))
    settings = {"steps": 4, "batch_size": 1, "prior": "none", "layers": "attention", "learning_rate": 0.01}
    settings |= {"mirror": False, "memory": {"checkpoint_activations": True}}

    def teach(name: str, dropout: float, **options: Any) -> Adapter:
        chosen = load_recipe(
            method, "toyland", base.family.name, overrides={**settings, "dropout": {"branch": dropout}}
        )
        return train(base, subject, chosen, output=tmp_path / name, **options)

    def interrupt(step: int) -> None:
        if step == 2:
            raise_signal(SIGINT)

    whole = teach("whole.safetensors", 0.3)
    with pytest.raises(TrainingInterrupted):
        teach("parts.safetensors", 0.3, callbacks=[interrupt])
    resumed = teach("parts.safetensors", 0.3, resume=True)
    without = teach("without.safetensors", 0.0)
    same = [value.equal(resumed.named_parameters()[name]) for name, value in whole.named_parameters().items()]
    other = [value.equal(without.named_parameters()[name]) for name, value in whole.named_parameters().items()]
    assert all(same)
    assert not all(other)
