"""Teaching a base one picture: the loss falls, nothing but the adapter changes, and no word is taught."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from portraitist.adapters import attached, load_adapter
from portraitist.bases import Base, load_base
from portraitist.bases.base import fingerprint
from portraitist.errors import BadConfig, BadFile
from portraitist.generation.prompt_fidelity import denoising_losses
from portraitist.training import fitting
from portraitist.training.outputs import run_folder
from portraitist.training.single_image import single_image_recipe, teach_picture

SOURCE = "a red robot on the beach"


@pytest.fixture(scope="module")
def base(tiny_base_folder: Path) -> Base:
    return load_base(tiny_base_folder)


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    return Image.effect_mandelbrot((32, 32), (-2, -1.5, 1, 1.5), 50).convert("RGB")


@pytest.mark.parametrize(("method", "rate"), [("svdiff", 0.03), ("lora", 0.03), ("full", 0.003)])
def test_the_picture_is_learnt(base: Base, picture: Image.Image, method: str, rate: float, tmp_path: Path) -> None:
    before = fingerprint(base.components)
    settings = {"steps": 15, "batch_size": 4, "learning_rate": rate, "schedule": "constant", "layers": "unet"}
    file = tmp_path / "picture.safetensors"
    teach_picture(base, picture, SOURCE, single_image_recipe(method, base, settings), output=file)
    assert fingerprint(base.components) == before
    frozen = denoising_losses(base, picture, [SOURCE], draws=8).mean()
    adapter = load_adapter(file)
    with attached(base.components, adapter):
        learnt = denoising_losses(base, picture, [SOURCE], draws=8).mean()
    assert learnt < 0.9 * frozen
    assert adapter.provenance.facts["source_prompt"] == SOURCE
    assert "trigger" not in adapter.provenance.facts


def test_recipes_of_subjects_lose_prior_mirror_images_text_encoder_and_length(base: Base) -> None:
    recipe = single_image_recipe("svdiff", base)
    assert (recipe.prior, recipe.mirror) == ("none", False)
    assert (recipe.steps, recipe.layers) == (500, "unet")
    assert single_image_recipe("lora", base).layers == "attention"
    assert single_image_recipe("svdiff", base, {"layers": "unet+text", "steps": 700}).layers == "unet+text"


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"watch": {"every": 2}}, "watch.every=2 needs photos of a subject, not a single picture; leave it out"),
        ({"photos": {"crops": 4}}, "photos.crops=4 needs photos of a subject"),
        ({"cut_mix": 0.5}, "cut_mix=0.5 needs several subjects"),
        ({"log": {"sample_prompts": ["a {} in the snow"]}}, "log.sample_prompts needs a subject"),
    ],
)
def test_settings_that_mean_nothing_for_a_picture_are_refused(
    base: Base, picture: Image.Image, settings: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(BadConfig, match=complaint):
        single_image_recipe("lora", base, settings)
    with pytest.raises(BadConfig, match=complaint):
        teach_picture(base, picture, SOURCE, single_image_recipe("lora", base).replace(settings))


def test_a_picture_has_sheets_and_may_send_away_what_is_not_trained(
    base: Base, picture: Image.Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    away: list[bool] = []
    real = fitting.Offload
    made: list[Any] = []
    monkeypatch.setattr(fitting, "Offload", lambda *args: made.append(real(*args)) or made[0])
    settings = {"steps": 2, "memory": {"offload": True}, "log": {"samples_every": 2, "sampling_steps": 1}}
    file = tmp_path / "picture.safetensors"
    recipe = single_image_recipe("lora", base, settings)
    teach_picture(base, picture, SOURCE, recipe, output=file, callbacks=[lambda step: away.append(made[0]._is_away)])
    assert away == [True, True]
    assert [path.name for path in run_folder(file).glob("*.png")] == ["samples-000002.png"]


def test_refuses_what_an_edit_has_not(base: Base, picture: Image.Image, tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="teaches a word"):
        single_image_recipe("textual-inversion", base)
    with pytest.raises(BadConfig, match="teaches a word"):
        single_image_recipe("textual-inversion+lora", base, {"layers": ["attention", "token-embedding"]})
    with pytest.raises(BadConfig, match="no prior to preserve"):
        single_image_recipe("lora", base, {"prior": "generated"})
    with pytest.raises(BadConfig, match="source prompt is empty"):
        teach_picture(base, picture, " ")
    file = tmp_path / "there.safetensors"
    file.write_bytes(b"something")
    with pytest.raises(BadFile, match="exists already"):
        teach_picture(base, picture, SOURCE, output=file)
