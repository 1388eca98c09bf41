"""DoRA of others: PEFT's folders, LyCORIS' files, diffusers' pipelines."""

from pathlib import Path

import pytest
import torch
from comparing import TinyPipeline, outputs
from lycoris import create_lycoris
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from torch import nn

from portraitist.errors import BadConfig, BadFile, MissingBase
from portraitist.exchange.exporting import export, export_within_default_rank
from portraitist.exchange.inspecting import inspect_file
from portraitist.exchange.loading import load_any


def stir(module: nn.Module, seed: int = 1) -> None:
    """Give every trainable number a random change."""
    generator = torch.Generator().manual_seed(seed)
    for value in module.parameters():
        if value.requires_grad:
            value.data = value.data + 0.2 * torch.randn(value.shape, generator=generator)


@pytest.fixture(scope="module")
def folder(tiny: TinyPipeline, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a DoRA of PEFT."""
    folder = tmp_path_factory.mktemp("dora")
    config = LoraConfig(r=3, lora_alpha=2, use_dora=True, target_modules=["to_q", "to_out.0", "conv1", "proj_in"])
    model = get_peft_model(tiny.load().unet, config)
    stir(model)
    model.save_pretrained(folder)
    return folder


def test_we_read_peft(tiny: TinyPipeline, folder: Path) -> None:
    pipeline = tiny.load()
    model = PeftModel.from_pretrained(pipeline.unet, folder)
    adapter = load_any(folder, tiny.components)
    assert (adapter.method.name, adapter.config.axis) == ("dora", "output")
    tiny.require_same(tiny.adapted(adapter), outputs(model, pipeline.text_encoder))


@pytest.mark.parametrize("axis", ["output", "input"])
def test_we_read_lycoris(tiny: TinyPipeline, tmp_path: Path, axis: str) -> None:
    pipeline = tiny.load()
    network = create_lycoris(
        pipeline.unet,
        linear_dim=4,
        linear_alpha=2,
        conv_dim=3,
        conv_alpha=1,
        algo="lora",
        dora_wd=True,
        wd_on_output=axis == "output",
    )
    network.apply_to()
    stir(network)
    network.save_weights(str(tmp_path / "lycoris.safetensors"), None, {})
    adapter = load_any(tmp_path / "lycoris.safetensors", tiny.components)
    assert (adapter.method.name, adapter.config.axis) == ("dora", axis)
    tiny.require_same(tiny.adapted(adapter), outputs(pipeline.unet, pipeline.text_encoder))


def test_it_needs_its_base(folder: Path) -> None:
    with pytest.raises(MissingBase, match="whose magnitudes mean something only with the weights of its base"):
        load_any(folder)
    found = inspect_file(folder)
    assert found.is_adapter
    assert "DoRA" in found.seems


def test_it_is_kept_and_becomes_a_lora_as_far_as_it_can(tiny: TinyPipeline, folder: Path, tmp_path: Path) -> None:
    adapter = load_any(folder, tiny.components)
    assert export(adapter, tmp_path / "own.safetensors", "portraitist").exact
    own = load_any(tmp_path / "own.safetensors")
    assert own.space == adapter.space
    assert all(value.equal(own.named_parameters()[name]) for name, value in adapter.named_parameters().items())
    with pytest.raises(MissingBase, match="DoRA needs the weights of its base"):
        export_within_default_rank(own, tmp_path / "lora.safetensors", "diffusers")
    report = export(adapter, tmp_path / "lora.safetensors", "diffusers", tiny.components)
    assert (report.exact, report.method) == (True, "lora")
    tiny.require_same(tiny.adapted(adapter), tiny.adapted(load_any(tmp_path / "lora.safetensors", tiny.components)))


def test_peft_reads_ours(tiny: TinyPipeline, tmp_path: Path) -> None:
    adapter = tiny.draw("dora", ("unet.*to_q", "unet.*conv1"), rank=3, alpha=5.0)
    with pytest.raises(MissingBase, match="DoRA needs the weights of its base"):
        export(adapter, tmp_path / "peft", "peft")
    assert export(adapter, tmp_path / "peft", "peft", tiny.components).method == "dora"
    pipeline = tiny.load()
    model = PeftModel.from_pretrained(pipeline.unet, tmp_path / "peft")
    tiny.require_same(tiny.adapted(adapter), outputs(model, pipeline.text_encoder))


@pytest.mark.parametrize("axis", ["output", "input"])
def test_our_files_in_kohya_s_names(tiny: TinyPipeline, tmp_path: Path, axis: str) -> None:
    adapter = tiny.draw("dora", ("unet.*to_q", "unet.*conv1"), rank=3, alpha=5.0, axis=axis)
    export(adapter, tmp_path / "dora.safetensors", "comfyui", tiny.components)
    again = load_any(tmp_path / "dora.safetensors", tiny.components)
    assert again.config == adapter.config
    tiny.require_same(tiny.adapted(adapter), tiny.adapted(again))
    if axis == "input":
        with pytest.raises(BadConfig, match="this adapter has one for each input"):
            export(adapter, tmp_path / "peft", "peft", tiny.components)


def test_magnitudes_that_do_not_fit_are_named(tiny: TinyPipeline, folder: Path, tmp_path: Path) -> None:
    tensors = load_file(folder / "adapter_model.safetensors")
    first = next(key for key in tensors if key.endswith("lora_magnitude_vector"))
    config = (folder / "adapter_config.json").read_text()
    (tmp_path / "adapter_config.json").write_text(config)
    file = tmp_path / "adapter_model.safetensors"
    save_file({key: value for key, value in tensors.items() if key != first}, file)
    with pytest.raises(BadFile, match=r"lacks .*lora_magnitude_vector"):
        load_any(tmp_path, tiny.components)
    save_file({**tensors, first: torch.ones(5)}, file)
    with pytest.raises(BadFile, match=r"magnitudes of shape \(5,\), which fit neither rows nor columns"):
        load_any(tmp_path, tiny.components)
