"""Editing a picture on an untrained base: what every setting must do whatever the base has learnt."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from portraitist.adapters import Adapter, find_layers
from portraitist.bases import Base, load_base
from portraitist.errors import BadConfig, BaseMismatch
from portraitist.generation import SamplingConfig, generate
from portraitist.generation.edit_files import check_folder, save_edit
from portraitist.generation.editing import EditConfig, Edited, edit

SOURCE, TARGET = "a red robot on the beach", "a red robot in the snow"


@pytest.fixture(scope="module")
def base(tiny_base_folder: Path) -> Base:
    return load_base(tiny_base_folder)


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    return Image.effect_mandelbrot((32, 32), (-2, -1.5, 1, 1.5), 50).convert("RGB")


def run(base: Base, picture: Image.Image, seeds: tuple[int, ...] = (0,), **settings: Any) -> Edited:
    config = EditConfig(**{"steps": 4, "refinements": 2, **settings})
    return edit(base, picture, SOURCE, TARGET, seeds=seeds, config=config, show_progress=False)


def same(first: Image.Image, second: Image.Image) -> bool:
    return np.array_equal(np.asarray(first), np.asarray(second))


def test_inverted_noise_leads_to_one_result_whatever_the_seed(base: Base, picture: Image.Image) -> None:
    edited = run(base, picture, seeds=(0, 1))
    assert same(*edited.results)
    assert edited.evaluations == 4 * 3
    assert edited.results[0].size == edited.reconstruction.size == (32, 32)


@pytest.mark.parametrize("settings", [{"strength": 0.5}, {"eta": 1.0}, {"inversion": False}], ids=str)
def test_new_noise_depends_on_the_seed_and_on_nothing_else(
    base: Base, picture: Image.Image, settings: dict[str, Any]
) -> None:
    both, second = run(base, picture, seeds=(0, 1), **settings), run(base, picture, seeds=(1,), **settings)
    assert not same(*both.results)
    difference = np.asarray(both.results[1], int) - np.asarray(second.results[0], int)
    assert np.abs(difference).max() <= 1  # batches of one and two round differently


def test_without_inversion_little_noise_leaves_the_picture_nearly_as_it_is(base: Base, picture: Image.Image) -> None:
    drifts = [run(base, picture, inversion=False, strength=part, steps=20).drift for part in (0.05, 0.5, 1.0)]
    assert drifts == sorted(drifts)
    assert run(base, picture, inversion=False, strength=0.05).evaluations == 0


def test_a_reconstruction_is_left_out_when_it_is_not_wanted(base: Base, picture: Image.Image) -> None:
    config = EditConfig(steps=4, refinements=2)
    bare = edit(base, picture, SOURCE, TARGET, config=config, reconstruct=False, show_progress=False)
    assert bare.reconstruction is bare.drift is None
    assert same(bare.results[0], run(base, picture).results[0])


@pytest.mark.parametrize("method", ["svdiff", "lora", "full"])
def test_adapters_in_the_weights_make_the_same_pictures(base: Base, draw_adapter: Any, method: str) -> None:
    adapters = {
        name: (draw_adapter(base.components, method, ["linear:unet.*", "linear:text_encoder.*"], size=size), scale)
        for name, size, scale in (("one", 0.05, 1.0), ("two", 0.02, 0.8))
    }
    before = {name: value.clone() for name, value in base.pipeline.unet.state_dict().items()}
    beside, merged = (
        generate(base, ["a cat"], adapters, config=SamplingConfig(steps=2), merged=merged, show_progress=False)
        for merged in (False, True)
    )
    difference = np.asarray(beside[0].image, int) - np.asarray(merged[0].image, int)
    assert np.abs(difference).max() <= 1
    assert all(torch.equal(value, before[name]) for name, value in base.pipeline.unet.state_dict().items())


def test_the_adapter_changes_the_result_and_leaves_the_base_as_found(base: Base, picture: Image.Image) -> None:
    specs = find_layers(base.components, ["unet.*.to_v"])
    adapter = Adapter.create("full", {}, specs, torch.Generator())
    for tensor in adapter.named_parameters().values():
        tensor.requires_grad_(False).add_(0.2)
    config = EditConfig(steps=4, refinements=1)
    plain = run(base, picture, refinements=1)
    changed = edit(base, picture, SOURCE, TARGET, adapter, config=config, show_progress=False)
    assert not same(plain.results[0], changed.results[0])
    assert same(plain.results[0], run(base, picture, refinements=1).results[0])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"strength": 1.5}, "strength must be between 0 and 1"),
        ({"eta": -0.1}, "eta must be between 0 and 1"),
        ({"guidance": 0.5}, "guidance at least 1"),
        ({"inversion": False, "strength": 0.0}, "changes nothing"),
        ({"inverted_on": "nothing"}, "target or source"),
    ],
)
def test_refuses_settings_that_cannot_work(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(BadConfig, match=message):
        EditConfig(**settings)


def test_refuses_an_adapter_of_another_base(base: Base, picture: Image.Image) -> None:
    adapter = Adapter.create("full", {}, find_layers(base.components, ["unet.*.to_v"]), torch.Generator())
    adapter.provenance.facts["base"] = {"name": "another", "fingerprint": "0123"}
    with pytest.raises(BaseMismatch, match="made for another"):
        edit(base, picture, SOURCE, TARGET, adapter)


def test_an_edits_files_hold_every_result_and_setting(tmp_path: Path) -> None:
    images = [Image.new("RGB", (32, 32), colour) for colour in ("red", "green", "blue", "yellow")]
    edited = Edited(tuple(images[:2]), images[2], drift=0.01, residual=None, evaluations=0)
    files = save_edit(edited, images[3], SOURCE, TARGET, tmp_path, seeds=(3, 4), facts={"photo": "one.png"})
    assert [path.name for path in files.results] == ["result-3.png", "result-4.png"]
    with Image.open(files.results[1]) as result:
        assert "prompt" not in result.info
        assert f'"prompt": "{TARGET}"' in result.info["portraitist"]
        assert '"seeds": [4]' in result.info["portraitist"]
        assert same(result.convert("RGB"), images[1])
    assert '"photo": "one.png"' in files.facts.read_text()
    with Image.open(files.sheet) as sheet:
        colours = {colour for _, colour in sheet.getcolors(1 << 20)}
    assert colours >= {(255, 0, 0), (0, 128, 0), (0, 0, 255), (255, 255, 0)}
    with pytest.raises(Exception, match="already holds an edit"):
        check_folder(tmp_path)
    check_folder(tmp_path, overwrite=True)
