"""What is described without torch, and what is left to the formats."""

from collections.abc import Callable
from pathlib import Path

import torch
from comparing import TinyPipeline
from safetensors.torch import save_file

from portraitist.adapters import save_adapter
from portraitist.exchange.exporting import export
from portraitist.exchange.inspecting import inspect_file
from portraitist.exchange.inspection import inspect_quickly

LAYERS = ("unet.mid_block*to_q",)


def test_own_adapters_and_what_is_no_adapter_are_described(
    write: Callable[[str, str | None], Path], tmp_path: Path
) -> None:
    found = inspect_quickly(write("own.safetensors", "1-2-3"))
    assert found is not None
    assert (found.format, found.header["method"], found.layers) == ("portraitist", "lora", {"unet": {"linear": 2}})
    save_file({"image_proj.latents": torch.zeros(3)}, tmp_path / "other.safetensors")
    other = inspect_quickly(tmp_path / "other.safetensors")
    assert other is not None
    assert (other.seems, other.parameters, other.is_adapter) == ("an IP-Adapter", 3, False)


def test_files_of_others_and_drawn_numbers_are_left_to_torch(tiny: TinyPipeline, tmp_path: Path) -> None:
    export(tiny.draw("lora", LAYERS), tmp_path / "kohya.safetensors", "kohya")
    save_adapter(tiny.draw("lidb", LAYERS, a=4, b=4), tmp_path / "lidb.safetensors")
    for path, seems in (("kohya", "a LoRA in kohya's layout"), ("lidb", "a portraitist adapter (lidb)")):
        assert inspect_quickly(tmp_path / f"{path}.safetensors") is None
        assert inspect_file(tmp_path / f"{path}.safetensors").seems.startswith(seems)
    assert inspect_quickly(tmp_path) is None
