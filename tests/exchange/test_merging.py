"""Adapters merged into one, or into a base: weights, the folder, the base afterwards, and what is refused."""

from collections.abc import Callable
from errno import ENOSPC
from pathlib import Path

import pytest
import torch

from portraitist.adapters import Adapter
from portraitist.adapters.algebra import bind
from portraitist.bases import Base, load_base
from portraitist.errors import BadConfig, BadFile, BaseMismatch, UnwritableFolder
from portraitist.exchange.merging import merge_adapters, merge_into_base, merge_weights

METHODS = {
    "lora": (("unet.mid_block*to_q",), {"rank": 2}),
    "full": (("unet.mid_block.attentions.0.*",), {}),
    "textual-inversion": (("text_encoder.*token_embedding",), {"token_ids": (5, 9)}),
    "textual-inversion+krona": (
        ("text_encoder.*token_embedding", "unet.mid_block*to_q"),
        {"textual-inversion": {"token_ids": (5,)}, "krona": {"out_factor": 2, "in_factor": 4}},
    ),
}


@pytest.mark.parametrize("method", METHODS)
def test_every_weight_is_the_sum_and_the_base_stays(
    base: Base, draw_adapter: Callable[..., Adapter], tmp_path: Path, method: str
) -> None:
    patterns, config = METHODS[method]
    adapter = draw_adapter(base.components, method, patterns, **config)
    before = {
        f"{component}.{name}": value.clone()
        for component, module in base.components.items()
        for name, value in module.state_dict().items()
    }
    merge_into_base(base, {"a": (adapter, 0.5)}, tmp_path / "model")
    bind(adapter, base.components)
    merged = load_base(tmp_path / "model")
    changed = set()
    for component, module in base.components.items():
        for name, value in module.state_dict().items():
            full = f"{component}.{name}"
            assert value.equal(before[full]), f"{full} of the base was changed"
            there = merged.components[component].state_dict()[name]
            layer, _, part = full.rpartition(".")
            expected = value
            if layer in adapter.layers and part in ("weight", "bias"):
                formulas = adapter.layers[layer]
                params = formulas.combined([adapter.values[layer]], [0.5])
                change = formulas.delta_weight(params) if part == "weight" else params.get("bias")
                expected = value if change is None else value + change
                changed |= {full} if change is not None else set()
            torch.testing.assert_close(there, expected)
    assert {f"{layer}.weight" for layer in adapter.layers} <= changed


def test_nothing_is_left_of_a_merge_that_fails(
    base: Base, draw_adapter: Callable[..., Adapter], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = draw_adapter(base.components, "lora", ("unet.mid_block*to_q",))
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "file").touch()
    with pytest.raises(BadFile, match="there exists already"):
        merge_into_base(base, {"a": (adapter, 1.0)}, tmp_path / "there")

    def fail(*_: object, **__: object) -> None:
        raise OSError(ENOSPC, "No space left on device")

    weight = base.components["unet"].get_submodule(next(iter(adapter.layers)).partition(".")[2]).weight.clone()
    monkeypatch.setattr(base.pipeline, "save_pretrained", fail)
    with pytest.raises(UnwritableFolder, match="model: No space left on device; make room, or choose another place"):
        merge_into_base(base, {"a": (adapter, 1.0)}, tmp_path / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
    module = base.components["unet"].get_submodule(next(iter(adapter.layers)).partition(".")[2])
    assert module.weight.equal(weight)
    assert "forward" not in vars(module)


def test_an_adapter_that_does_not_fit_is_refused(
    base: Base, draw_adapter: Callable[..., Adapter], tmp_path: Path
) -> None:
    adapter = draw_adapter({"unet": torch.nn.ModuleDict({"conv_in": torch.nn.Conv2d(4, 7, 3)})}, "lora", ("unet.*",))
    with pytest.raises(
        BadConfig, match=r"unet\.conv_in has a weight of shape \(32, 4, 3, 3\) here, but \(7, 4, 3, 3\)"
    ):
        merge_into_base(base, {"a": (adapter, 1.0)}, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_bases_are_told_apart_across_precisions(write: Callable[..., Path], tmp_path: Path) -> None:
    files = [write("a.safetensors", "1-2-3"), write("b.safetensors", "1-5-3"), write("c.safetensors", "1-6-7")]
    merge_adapters(files[:2], tmp_path / "ab.safetensors")
    with pytest.raises(BaseMismatch, match=r"1-2-3\) and .*1-6-7\); use --force"):
        merge_adapters(files, tmp_path / "abc.safetensors")
    assert merge_adapters(files, tmp_path / "abc.safetensors", force=True).written.count() > 0


def test_weights() -> None:
    assert merge_weights(2, None, "add") == [1, 1]
    assert merge_weights(2, [3, 1], "interpolate") == [0.75, 0.25]
    with pytest.raises(BadConfig, match="3 adapters need 3 weights, not 2"):
        merge_weights(3, [1, 1], "add")
