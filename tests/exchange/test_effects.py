"""How much of an adapter's effect on predictions a conversion keeps."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from portraitist.adapters import Adapter, save_adapter
from portraitist.adapters.algebra import scale
from portraitist.bases import Base
from portraitist.exchange.converting import convert
from portraitist.exchange.effects import kept_effect

ATTENTION = ("linear:unet.*attn*",)


@pytest.fixture
def lora(base: Base, draw_adapter: Callable[..., Adapter]) -> Adapter:
    return draw_adapter(base.components, "lora", ATTENTION, rank=4)


def test_the_same_adapter_keeps_all_and_a_weaker_one_less(base: Base, lora: Adapter) -> None:
    weights = base.family.denoiser.state_dict()
    before = {name: value.clone() for name, value in weights.items()}
    assert kept_effect(base, lora, lora) == pytest.approx(1.0)
    assert kept_effect(base, lora, scale(lora, 0.0)) == pytest.approx(0.0, abs=1e-4)
    half = kept_effect(base, lora, scale(lora, 0.5))
    assert half is not None
    assert 0.5 < half < 0.95
    assert kept_effect(base, scale(lora, 0.0), lora) is None
    assert all(value.equal(before[name]) for name, value in base.family.denoiser.state_dict().items())


def test_dropped_norms_are_seen_in_what_is_kept(
    base: Base, draw_adapter: Callable[..., Adapter], tmp_path: Path
) -> None:
    """Every weight that a LoRA can hold is kept exactly, and still pictures change."""
    adapter = draw_adapter(base.components, "full", ("unet.*attn*", "norm:unet.*"))
    for name, tensors in adapter.values.items():
        if "norm" not in name.rpartition(".")[2]:
            for tensor in tensors.values():
                torch.nn.init.normal_(tensor, std=1e-3)
    save_adapter(adapter, tmp_path / "a.safetensors")
    report = convert(tmp_path / "a.safetensors", tmp_path / "b.safetensors", "kohya", base=base)
    assert report.dropped
    assert min(report.energy.values()) > 0.99
    assert report.effect is not None
    assert report.effect < 0.5


def test_an_exact_conversion_measures_nothing(base: Base, lora: Adapter, tmp_path: Path) -> None:
    save_adapter(lora, tmp_path / "a.safetensors")
    assert convert(tmp_path / "a.safetensors", tmp_path / "b.safetensors", "kohya", base=base).effect is None
