"""Adapter files and their bases: whose base it is, and loading it only if it is needed."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from portraitist.adapters import Adapter
from portraitist.bases import Base, load_base
from portraitist.errors import BadConfig, BadFile, BaseMismatch, MissingBase
from portraitist.exchange.exporting import export
from portraitist.exchange.loading import find_base, load_base_of, load_for, with_base_if_needed


@pytest.fixture
def adapter(base: Base, draw_adapter: Callable[..., Adapter]) -> Adapter:
    made = draw_adapter(base.components, "lora", ("unet.mid_block*to_q",), rank=2)
    made.provenance.facts["base"] = {"name": base.name, "fingerprint": base.fingerprint}
    return made


@pytest.mark.parametrize("format", ["portraitist", "kohya", "peft", "diffusers"])
def test_the_base_is_found_in_every_format(adapter: Adapter, base: Base, tmp_path: Path, format: str) -> None:
    export(adapter, tmp_path / "a.safetensors", format)
    assert find_base([tmp_path / "a.safetensors"]) == base.name
    loaded = load_for(base, tmp_path / "a.safetensors")
    assert set(loaded.layers) == set(adapter.layers)


def test_a_file_that_does_not_say_takes_the_base_of_the_others(adapter: Adapter, base: Base, tmp_path: Path) -> None:
    export(adapter, tmp_path / "own.safetensors", "portraitist")
    export(adapter, tmp_path / "named.safetensors", "kohya")
    save_file(load_file(tmp_path / "named.safetensors"), tmp_path / "bare.safetensors")
    assert find_base([tmp_path / "bare.safetensors", tmp_path / "own.safetensors"]) == base.name
    with pytest.raises(BadConfig, match=r"bare\.safetensors does not say which base it was made for"):
        find_base([tmp_path / "bare.safetensors"])


@pytest.mark.parametrize("side", [48, 10**9, "48", None, 7])
def test_the_size_of_pictures_is_taken_from_the_file_if_it_makes_sense(
    adapter: Adapter, base: Base, tmp_path: Path, side: object
) -> None:
    adapter.provenance.facts["base"]["resolution"] = side
    export(adapter, tmp_path / "a.safetensors", "portraitist")
    files = [tmp_path / "a.safetensors"]
    if side == 7:
        with pytest.raises(BadConfig, match="not 7"):
            load_base_of(files)
        return
    assert load_base_of(files).family.resolution == (48 if side == 48 else 32)
    assert load_base_of(files, base.name).family.resolution == (48 if side == 48 else 32)
    assert load_base_of(files, resolution=40).family.resolution == 40


def test_the_likely_base_is_named(tmp_path: Path) -> None:
    layer = "unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_k"
    factors = {f"{layer}.lora_A.weight": torch.ones(2, 2048), f"{layer}.lora_B.weight": torch.ones(8, 2)}
    save_file(factors, tmp_path / "xl.safetensors")
    with pytest.raises(BadConfig, match=r"name it with --base \(it seems to be for Stable Diffusion XL\)"):
        find_base([tmp_path / "xl.safetensors"])


def test_another_base_is_refused(adapter: Adapter, base: Base, other_base_folder: Path, tmp_path: Path) -> None:
    other, path = load_base(other_base_folder), tmp_path / "a.safetensors"
    export(adapter, path, "kohya")
    with pytest.raises(BaseMismatch):
        load_for(other, path)
    assert load_for(other, path, force=True).layers.keys() == adapter.layers.keys()
    with pytest.raises(BadFile, match="does not exist"):
        load_for(base, tmp_path / "none.safetensors")


def test_a_base_is_loaded_only_if_it_is_needed(adapter: Adapter, base: Base, tmp_path: Path) -> None:
    export(adapter, tmp_path / "a.safetensors", "portraitist")
    seen: list[str | None] = []

    def work(given: Base | None) -> int:
        seen.append(None if given is None else given.name)
        if given is None:
            raise MissingBase("needed")
        return 1

    assert with_base_if_needed(lambda given: given, [tmp_path / "nowhere"]) is None
    assert with_base_if_needed(work, [tmp_path / "a.safetensors"]) == 1
    assert with_base_if_needed(work, [tmp_path / "nowhere"], base) == 1
    assert seen == [None, base.name, base.name]
