"""Class images are made once, and again where they are not as they were made."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from portraitist.bases import Base
from portraitist.training.assembling import dreambooth_task
from portraitist.training.blank_adapters import blank_adapter
from portraitist.training.inputs.latents import encode
from portraitist.training.inputs.priors import prior_images
from portraitist.training.recipes import Recipe, load_recipe
from portraitist.training.subjects import Subject

PROMPT = "a photo of cat"


@pytest.fixture
def recipe(base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recipe:
    monkeypatch.setenv("PORTRAITIST_CACHE", str(tmp_path))
    return load_recipe("lora", "toyland", base.family.name, overrides={"prior": "generated", "prior_images": 4})


def pixels(images: list[Image.Image]) -> list[bytes]:
    return [image.tobytes() for image in images]


def test_damaged_class_images_are_made_again(base: Base, recipe: Recipe, tmp_path: Path) -> None:
    made = prior_images(base, PROMPT, 4, recipe)
    files = sorted(tmp_path.rglob("*.png"))
    files[0].write_bytes(files[0].read_bytes()[:200])
    Image.fromarray(255 - np.asarray(made[1])).save(files[1])  # one that earlier versions or others wrote
    files[2].write_bytes(files[3].read_bytes())
    with pytest.warns(UserWarning, match="was damaged; it is made again") as told:
        again = prior_images(base, PROMPT, 4, recipe)
    lines = [str(each.message) for each in told if "damaged" in str(each.message)]
    assert sorted(line.split()[0] for line in lines) == [str(files[0]), str(files[2])]
    assert pixels(again) == pixels(made)


def test_sound_ones_are_not(base: Base, recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    made = prior_images(base, PROMPT, 4, recipe)
    monkeypatch.setattr("portraitist.training.inputs.priors.generate", lambda *_, **__: pytest.fail("made again"))
    assert pixels(prior_images(base, PROMPT, 4, recipe)) == pixels(made)


def test_a_share_of_them_has_no_prompt(base: Base, recipe: Recipe) -> None:
    photo = Image.new("RGB", (base.family.resolution,) * 2, "orange")
    subject = Subject("orange", "robot", "sks", (photo,), (Path("orange.png"),))
    settings = recipe.replace({"prior_unprompted": 0.25})
    task = dreambooth_task(base, blank_adapter(base, settings, {}), subject, settings)
    assert task.prior is not None
    assert task.prior.prompts == ("a photo of a robot",) * 3 + ("",)
    unprompted = prior_images(base, "", 1, recipe)
    assert torch.equal(task.prior.mean[3:], encode(base, unprompted).mean)
