"""Sampling refuses adapters of other bases."""

from pathlib import Path

import pytest
import torch

from portraitist.adapters import Adapter, find_layers
from portraitist.bases import load_base
from portraitist.errors import BadConfig, BaseMismatch
from portraitist.generation import SamplingConfig, generate


def test_an_adapter_of_another_base_is_refused_and_leaves_this_one_as_it_was(tiny_base_folder: Path) -> None:
    base = load_base(tiny_base_folder)
    made = Adapter.create("lora", {}, find_layers(base.components, ["unet.*.to_q"]), torch.Generator())
    made.provenance.facts["base"] = {"name": "elsewhere", "fingerprint": "1-2-3"}
    quick = SamplingConfig(steps=1)
    with pytest.raises(BaseMismatch):
        generate(base, ["a cat"], made, config=quick, show_progress=False)
    assert len(generate(base, ["a cat"], made, config=quick, force=True, show_progress=False)) == 1
    assert not any("forward" in vars(module) for module in base.components["unet"].modules())


def test_a_picture_that_could_not_be_computed_is_said(tiny_base_folder: Path) -> None:
    base = load_base(tiny_base_folder)
    made = Adapter.create("lora", {}, find_layers(base.components, ["unet.*.to_out.0"]), torch.Generator())
    for tensors in made.values.values():
        for tensor in tensors.values():
            tensor.data.fill_(1e17)
    with pytest.warns(UserWarning, match=r"pictures are black all over \(seed 7\): numbers became too large"):
        generate(base, ["a cat"], made, seeds=[7], config=SamplingConfig(steps=2), show_progress=False)


def test_prompts_that_are_no_text_are_refused(tiny_base_folder: Path) -> None:
    with pytest.raises(BadConfig, match=r"the prompt .* is not valid UTF-8; type it again"):
        generate(load_base(tiny_base_folder), ["a cat", "a \udcff"], show_progress=False)
