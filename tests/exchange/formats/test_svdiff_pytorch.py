"""Shifts of svdiff-pytorch against its own rule, each weight rebuilt from its decomposition."""

from pathlib import Path

import pytest
import torch
from comparing import TinyPipeline, outputs
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from portraitist.errors import BadConfig, BadFile, MissingBase
from portraitist.exchange.exporting import export
from portraitist.exchange.formats import detect
from portraitist.exchange.loading import load_any

# Rebuilding every weight from its decomposition in float32, as that code does, loses this much of the outputs' range.
ROUNDING = 3e-4


def rebuilt(weight: Tensor, delta: Tensor) -> Tensor:
    """Return a weight with shifted singular values; a norm's scale counts as a matrix of one row."""
    matrix = weight[None] if weight.ndim == 1 else weight.flatten(1)
    u, sigma, vh = torch.linalg.svd(matrix, full_matrices=False)
    return (u @ torch.diag(torch.relu(sigma + delta)) @ vh).reshape(weight.shape)


@torch.no_grad()
def shift(model: nn.Module, shifts: dict[str, Tensor], scale: float = 1.0) -> None:
    """Change a model in place as svdiff-pytorch's layers do in their forward pass."""
    for key, delta in shifts.items():
        module = model.get_submodule(key.removesuffix(".delta").removeprefix("text_model."))
        module.weight.data = rebuilt(module.weight.data, scale * delta)


def draw_shifts(model: nn.Module, prefix: str = "") -> dict[str, Tensor]:
    """Return random shifts for every weight, large enough to reach the ReLU."""
    generator = torch.Generator().manual_seed(2)
    shifts = {}
    for name, module in model.named_modules():
        weight = getattr(module, "weight", None)
        if isinstance(weight, Tensor):
            count = 1 if weight.ndim == 1 else min(weight.flatten(1).shape)
            shifts[f"{prefix}{name}.delta"] = 0.3 * torch.randn(count, generator=generator)
    return shifts


def test_we_read_a_folder(tiny: TinyPipeline, tmp_path: Path) -> None:
    pipeline = tiny.load()
    unet, text = draw_shifts(pipeline.unet), draw_shifts(pipeline.text_encoder, "text_model.")
    save_file(unet, tmp_path / "spectral_shifts.safetensors")
    save_file(text, tmp_path / "spectral_shifts_te.safetensors")
    shift(pipeline.unet, unet)
    shift(pipeline.text_encoder, text)
    assert detect(tmp_path).name == "svdiff-pytorch"
    adapter = load_any(tmp_path, tiny.components)
    norm = "unet.conv_norm_out"
    assert adapter.values[norm]["delta"].shape == adapter.layers[norm].spec.shape
    tiny.require_same(tiny.adapted(adapter), outputs(pipeline.unet, pipeline.text_encoder), ROUNDING)


def test_one_file_is_one_component(tiny: TinyPipeline, tmp_path: Path) -> None:
    save_file(draw_shifts(tiny.components["text_encoder"], "text_model."), tmp_path / "te.safetensors")
    assert load_any(tmp_path / "te.safetensors", tiny.components).components() == ["text_encoder"]


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_what_we_write_means_the_same_there(tiny: TinyPipeline, tmp_path: Path, scale: float) -> None:
    adapter = tiny.draw("svdiff", ("linear:*", "conv:*", "embedding:*"), size=0.3, rank=20)
    report = export(adapter, tmp_path, "svdiff-pytorch")
    assert report.exact
    pipeline = tiny.load()
    shift(pipeline.unet, load_file(tmp_path / "spectral_shifts.safetensors"), scale)
    text = load_file(tmp_path / "spectral_shifts_te.safetensors")
    assert all(key.startswith("text_model.") for key in text)
    shift(pipeline.text_encoder, text, scale)
    tiny.require_same(tiny.adapted(adapter, scale), outputs(pipeline.unet, pipeline.text_encoder), ROUNDING)


def test_norms_are_left_out_and_named(tiny: TinyPipeline, tmp_path: Path) -> None:
    report = export(tiny.draw("svdiff", ("unet.mid_block*",)), tmp_path, "svdiff-pytorch")
    assert "unet.mid_block.attentions.0.norm" in report.dropped
    assert not report.exact
    assert all("norm" not in key for key in load_file(tmp_path / "spectral_shifts.safetensors"))


def test_a_leak_cannot_be_written(tiny: TinyPipeline, tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="cannot hold a leak"):
        export(tiny.draw("svdiff", ("unet.*to_q",), leak=0.1), tmp_path, "svdiff-pytorch")


def test_the_base_is_needed(tiny: TinyPipeline, tmp_path: Path) -> None:
    save_file(draw_shifts(tiny.components["unet"]), tmp_path / "shifts.safetensors")
    with pytest.raises(MissingBase, match="mean nothing without their base"):
        load_any(tmp_path / "shifts.safetensors")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"conv_out.delta": torch.zeros(5)}, r"unet\.conv_out has \(5,\) shifts where \(4,\) are needed"),
        ({"conv_norm_out.delta": torch.zeros(32)}, r"unet\.conv_norm_out has \(32,\) shifts where \(1,\)"),
        ({"elsewhere.delta": torch.zeros(4)}, "no part of this base has the modules"),
        ({"mid_block.delta": torch.zeros(4)}, r"unet\.mid_block, which has no weight"),
    ],
)
def test_shifts_that_do_not_fit(tiny: TinyPipeline, tmp_path: Path, change: dict[str, Tensor], complaint: str) -> None:
    save_file({"conv_in.delta": torch.zeros(32), **change}, tmp_path / "shifts.safetensors")
    with pytest.raises(BadFile, match=complaint):
        load_any(tmp_path / "shifts.safetensors", tiny.components)


def test_files_that_are_missing_or_there_twice(tiny: TinyPipeline, tmp_path: Path) -> None:
    adapter = tiny.draw("svdiff", ("unet.*to_q", "text_encoder*q_proj"))
    export(adapter, tmp_path, "svdiff-pytorch")
    unet, text = (tmp_path / f"spectral_shifts{end}.safetensors" for end in ("", "_te"))
    assert load_any(unet, tiny.components).components() == ["unet"]
    content = text.read_bytes()
    text.unlink()
    with pytest.raises(BadFile, match="lacks 1 layer that it was written with: text_encoder"):
        load_any(tmp_path, tiny.components)
    text.write_bytes(unet.read_bytes())
    with pytest.raises(BadFile, match=r"_te\.safetensors holds shifts of the unet, which belong into another file"):
        load_any(tmp_path, tiny.components)
    text.write_bytes(content)
    assert {*load_any(tmp_path, tiny.components).layers} == {*adapter.layers}
    export(tiny.draw("svdiff", ("unet.*to_q",)), tmp_path, "svdiff-pytorch")
    assert load_any(tmp_path, tiny.components).components() == ["unet"], "nothing of the older one stays"
