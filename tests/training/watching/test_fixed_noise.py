"""The loss on fixed noise: what it costs, what it measures, and that it changes nothing."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from drawn_photos import save_photos

from portraitist.adapters import Adapter
from portraitist.bases import Base
from portraitist.training import fitting
from portraitist.training.inputs.conditions import PromptBook
from portraitist.training.inputs.latents import encode
from portraitist.training.multi_subject.teaching import train_several
from portraitist.training.outputs import run_folder
from portraitist.training.personalise import train
from portraitist.training.recipes import Recipe, load_recipe
from portraitist.training.subjects import Subject
from portraitist.training.watching.fixed_noise import FixedNoiseLoss, affordable_samples, before_and_after
from portraitist.training.watching.outcomes import loss_words
from portraitist.training.watching.watching import rows_of

SIZE = 32


def recipe(base: Base, **settings: Any) -> Recipe:
    own = {"steps": 200, "prior": "none", "layers": "attention", "batch_size": 2, "mirror": False, **settings}
    return load_recipe("lora", "toyland", base.family.name, overrides=own)


@pytest.fixture
def subject(tmp_path: Path) -> Subject:
    return Subject.from_folder(save_photos(tmp_path / "photos", 3), "cat", size=SIZE)


def losses(adapter: Adapter) -> dict[str, float]:
    return {name: value for name, value in adapter.provenance.training.items() if "before" in name or "after" in name}


def test_a_run_notes_what_it_was_before_and_after(base: Base, subject: Subject, tmp_path: Path) -> None:
    output = tmp_path / "mine.safetensors"
    watch = {"every": 50, "time_share": 0.2, "stop": False}
    settings = recipe(base, watch=watch, log={"keep": True}, learning_rate=1e-2)
    noted = losses(train(base, subject, settings, output=output))
    assert noted["fixed_noise_after"] < noted["fixed_noise_before"]
    lines = [json.loads(line) for line in (run_folder(output) / "log.jsonl").read_text().splitlines()]
    assert lines[-1] == {"step": 200, **noted}
    kept = [line["validation"] for line in lines if "validation" in line]
    assert noted["validation_after"] == pytest.approx(min(kept), abs=1e-6)


def test_several_subjects_are_measured_too(base: Base, subject: Subject) -> None:
    noted = losses(train_several(base, [subject, replace(subject, token="olo")], recipe(base)))
    assert set(noted) == {"fixed_noise_before", "fixed_noise_after"}


def test_measuring_changes_nothing(base: Base, subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = recipe(base, photos={"crops": 1, "buckets": True}, layers="attention+text")
    measured = train(base, subject, settings)
    monkeypatch.setattr(fitting, "affordable_samples", lambda recipe: 0)
    plain = train(base, subject, settings)
    assert losses(measured)
    assert not losses(plain)
    for name, value in plain.named_parameters().items():
        assert torch.equal(value, measured.named_parameters()[name]), name


def test_pictures_of_every_size_are_noised_in_the_same_way_every_time(base: Base, subject: Subject) -> None:
    large = replace(encode(base, subject.photos[:2]), prompts=("a cat", "a dog"))
    small = replace(encode(base, [subject.photos[2].resize((16, 16))]), prompts=("a cat on a sofa",))
    prompts = PromptBook(base, fixed=True)
    loss = FixedNoiseLoss(base, recipe(base), prompts, [large, small], 7, "fixed_noise")
    assert [(len(bucket), rows) for bucket, rows in loss.batches()] == [(2, [0, 1]), (2, [0, 1]), (2, [0]), (1, [0, 0])]
    few = FixedNoiseLoss(base, recipe(base), prompts, [large, small], 1, "fixed_noise")
    assert [rows for _, rows in few.batches()] == [[0]]
    with torch.no_grad():
        found = loss()
        torch.manual_seed(5)
        assert loss() == found


@pytest.mark.parametrize("method", ["lora", "krona", "svdiff", "textual-inversion"])
@pytest.mark.parametrize("base_name", ["toyland", "sd", "sdxl", "flux"])
def test_it_costs_a_fiftieth_of_any_run_at_most(base_name: str, method: str) -> None:
    base, family = ("toyland", "sd") if base_name == "toyland" else ("x", base_name)
    for steps in (1, 20, 150, 5000):
        settings = load_recipe(method, base, family, overrides={"steps": steps})
        samples = affordable_samples(settings)
        assert samples == 0 or 4 <= samples <= 32
        assert 2 * samples <= 0.02 * steps * rows_of(settings) * 2


def test_losses_that_are_not_numbers_are_not_noted() -> None:
    found = before_and_after({"a": 1.0, "b": math.nan, "c": 2.0}, {"a": 0.5, "b": 1.0})
    assert found == {"a_before": 1.0, "a_after": 0.5}
    noted = {"fixed_noise_before": 0.0444, "fixed_noise_after": 0.03994}
    assert loss_words(noted) == "on fixed noise: 0.0444 -> 0.0399"
    assert loss_words({**noted, "fixed_noise_before": "low"}) is None
