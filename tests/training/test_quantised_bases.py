"""Training on a base in fewer bits, for use on the base in full."""

from pathlib import Path

import pytest
import torch

from portraitist.bases import Base, load_base
from portraitist.bases.examples import get_example
from portraitist.errors import BadConfig
from portraitist.generation import SamplingConfig, generate
from portraitist.training.personalise import train
from portraitist.training.recipes import load_recipe
from portraitist.training.subjects import Subject

SETTINGS = {
    "steps": 2,
    "prior": "none",
    "mirror": False,
    "layers": "attention",
    "learning_rate": 0.02,
    "schedule": "constant",
    "warmup_steps": 0,
}


@pytest.fixture(scope="module", params=[8, 4])
def small_base(request: pytest.FixtureRequest, tiny_base_folder: Path) -> Base:
    return load_base(tiny_base_folder, bits=request.param)


@pytest.fixture(scope="module")
def subject() -> Subject:
    return Subject.from_folder(get_example("cat-1b7ecd").folder, "cat", size=32)


SMALL = {"lora": {"rank": 4}, "krona": {"out_factor": 8, "in_factor": 8}, "lidb": {"a": 16, "b": 8}}


@pytest.mark.parametrize("method", ["lora", "krona", "lidb"])
def test_what_is_taught_there_works_on_the_base_in_full(
    method: str, small_base: Base, base: Base, subject: Subject, tmp_path: Path
) -> None:
    recipe = load_recipe(method, "toyland", "sd", overrides={**SETTINGS, "method_config": SMALL[method]})
    found = train(small_base, subject, recipe, output=tmp_path / "small.safetensors")
    wanted = train(base, subject, recipe)
    assert found.provenance.facts["base"]["bits"] == small_base.bits
    assert "bits" not in wanted.provenance.facts["base"]
    moved = {name: value.flatten() for name, value in wanted.named_parameters().items() if value.abs().max() > 0}
    likeness = [torch.cosine_similarity(found.named_parameters()[name].flatten(), moved[name], 0) for name in moved]
    assert torch.stack(likeness).mean() > 0.8
    # Also checks that the fingerprints agree.
    (picture,) = generate(base, ["a photo of sks cat"], found, config=SamplingConfig(steps=2), show_progress=False)
    assert picture.image.size == (32, 32)


@pytest.mark.parametrize("method", ["svdiff", "full"])
def test_methods_that_need_the_weights_are_refused(method: str, small_base: Base, subject: Subject) -> None:
    recipe = load_recipe(method, "toyland", "sd", overrides=SETTINGS)
    with pytest.raises(BadConfig, match=f"{method} on unet.* needs the weight, which this base holds in fewer bits"):
        train(small_base, subject, recipe)
    assert all("forward" not in vars(module) for module in small_base.family.denoiser.modules())
