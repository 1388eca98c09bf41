"""What is worked out from a footprint is what is counted anew in the other setup."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import save_tiny
from transformers import CLIPTokenizer

from portraitist.training.planning.memory import Memory
from portraitist.training.planning.planning import Plan, make_plan

METHODS: dict[str, dict[str, Any]] = {
    "lora": {},
    "krona": {"method_config": {"out_factor": 8, "in_factor": 8}},
    "lidb": {"method_config": {"a": 16, "b": 8}},
    "svdiff": {},
    "full": {},
}
SIDE = 256  # large enough for a picture to outweigh its text, which does not grow with it
CHANGES: dict[str, dict[str, Any]] = {
    "batch": {"batch_size": 2},
    "checkpoints": {"memory": {"checkpoint_activations": True}},
    "offload": {"memory": {"offload": True}},
    "small state": {"optimizer": {"name": "adamw8bit"}},
}


def planned(base: Path, method: str, *, bits: int | None = None, resolution: int = SIDE, **settings: Any) -> Plan:
    overrides = {"prior": "none", "layers": "attention", "batch_size": 4, **METHODS[method], **settings}
    return make_plan(str(base), method, overrides, 5, dtype=torch.bfloat16, bits=bits, resolution=resolution)


def require_same(found: Memory, counted: Memory, near: float = 0.1) -> None:
    assert found.base == counted.base
    assert found.adapter == counted.adapter
    assert found.kept == counted.kept
    assert found.activations == pytest.approx(counted.activations, rel=near)
    assert found.encoding == pytest.approx(counted.encoding, rel=near)
    assert found.peak == pytest.approx(counted.peak, rel=near)


@pytest.fixture(scope="module")
def asked(tiny_base_folder: Path) -> Plan:
    return planned(tiny_base_folder, "lora")


@pytest.mark.parametrize("change", CHANGES)
def test_setups_of_a_recipe(change: str, asked: Plan, tiny_base_folder: Path) -> None:
    there = planned(tiny_base_folder, "lora", **CHANGES[change])
    require_same(asked.footprint.memory(asked.trained, there.setup), there.memory)


@pytest.mark.parametrize("bits", [8, 4])
def test_fewer_bits(bits: int, asked: Plan, tiny_base_folder: Path) -> None:
    there = planned(tiny_base_folder, "lora", bits=bits)
    require_same(asked.footprint.memory(asked.trained, there.setup), there.memory)
    assert there.memory.base < asked.memory.base


@pytest.mark.parametrize("method", METHODS)
def test_smaller_pictures_and_batches_of_every_method(method: str, tiny_base_folder: Path) -> None:
    asked = planned(tiny_base_folder, method)
    there = planned(tiny_base_folder, method, resolution=SIDE // 2, batch_size=2)
    require_same(asked.footprint.memory(asked.trained, there.setup), there.memory, 0.15)


def test_text_among_the_positions(clip_tokenizer: CLIPTokenizer, tmp_path: Path) -> None:
    """The text of FLUX.1 passes through the same blocks as the picture and stays as long as it is."""
    folder = save_tiny("flux", clip_tokenizer, tmp_path / "flux")
    asked, there = (
        planned(folder, "lora", resolution=resolution, method_config={"rank": 4}) for resolution in (256, 128)
    )
    require_same(asked.footprint.memory(asked.trained, there.setup), there.memory, 0.15)
