"""Sampling, editing and adapters of several subjects: the CPU's pictures of the same seeds."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from device_matrix import draw, moved
from PIL import Image

from portraitist.bases import Base
from portraitist.generation import SamplingConfig, generate
from portraitist.generation.editing import EditConfig, edit

pytestmark = pytest.mark.gpu
Load = Callable[[str, torch.dtype], Base]


def pictures(base: Base, **options: object) -> np.ndarray:
    made = generate(base, ["a photo of a sks cat", "a robot"], show_progress=False, **options)  # type: ignore[arg-type]
    return np.stack([np.asarray(each.image, float) for each in made])


@pytest.mark.parametrize("scheduler", ["dpm", "ddim", "euler"])
def test_schedulers(device: str, load: Load, scheduler: str) -> None:
    config = SamplingConfig(steps=4, scheduler=scheduler)
    exact, base = load("cpu", torch.float32), load(device, torch.float32)
    adapter = draw(exact, "lora")
    adapter.provenance.facts["base"] = {"name": exact.name, "fingerprint": exact.fingerprint}
    wanted = pictures(exact, adapters=adapter, config=config)
    found = pictures(base, adapters=moved(adapter, device), config=config)
    assert np.abs(found - wanted).mean() < 2
    assert np.abs(wanted - pictures(exact, config=config)).mean() > 2


@pytest.mark.parametrize("inversion", [True, False])
def test_editing(device: str, load: Load, inversion: bool) -> None:
    """The noise that a picture comes from is found there too, and leads to the same edit."""
    exact, base = load("cpu", torch.float32), load(device, torch.float32)
    adapter = draw(exact, "lora")
    adapter.provenance.facts["base"] = {"name": exact.name, "fingerprint": exact.fingerprint}
    picture = Image.linear_gradient("L").resize((32, 32)).convert("RGB")
    config = EditConfig(inversion=inversion, steps=4, refinements=2)
    wanted, found = (
        edit(where, picture, "a photo of a cat", "a photo of a robot", own, config=config, show_progress=False)
        for where, own in ((exact, adapter), (base, moved(adapter, device)))
    )
    pairs = zip((*found.results, found.reconstruction), (*wanted.results, wanted.reconstruction), strict=True)
    for one, other in pairs:
        assert one is not None
        assert other is not None
        assert np.abs(np.asarray(one, float) - np.asarray(other, float)).mean() < 2
    assert found.drift == pytest.approx(wanted.drift, rel=0.1)
    assert found.evaluations == wanted.evaluations


def test_fingerprints(device: str, load: Load) -> None:
    exact = load("cpu", torch.float32).fingerprint
    assert load(device, torch.float32).fingerprint == exact
    assert exact.split("-")[1] == load(device, torch.bfloat16).fingerprint.split("-")[1]


def test_latents_of_pictures(device: str, load: Load) -> None:
    picture = torch.from_numpy(np.asarray(Image.linear_gradient("L").resize((32, 32)).convert("RGB")).copy())
    pixels = picture.permute(2, 0, 1)[None].float() / 127.5 - 1
    wanted = load("cpu", torch.float32).family.encode_pictures(pixels)
    found = load(device, torch.float32).family.encode_pictures(pixels)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one.cpu(), other, rtol=1e-3, atol=1e-3)
