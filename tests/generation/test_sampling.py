"""Sampling refuses adapters of other bases."""

from pathlib import Path

import pytest
import torch

from portraitist.adapters import Adapter, find_layers
from portraitist.bases import load_base
from portraitist.errors import BaseMismatch
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
