"""LoRA in kohya's names: through diffusers and lycoris, and the names themselves."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from comparing import TinyPipeline, outputs
from lycoris import LycorisNetwork, create_lycoris, create_lycoris_from_weights
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tiny_models import build_tiny
from torch import nn
from transformers import CLIPTokenizer

from portraitist.adapters import Adapter
from portraitist.errors import BadFile, MissingBase
from portraitist.exchange.exporting import export
from portraitist.exchange.formats import detect
from portraitist.exchange.loading import load_any

PATTERNS = ("linear:*", "conv:*")


@pytest.mark.parametrize("scale", [1.0, 0.6])
def test_diffusers_reads_ours(tiny: TinyPipeline, tmp_path: Path, scale: float) -> None:
    adapter = tiny.draw("lora", PATTERNS, rank=3, alpha=5.0)
    assert export(adapter, tmp_path / "lora.safetensors", "kohya").exact
    pipeline = tiny.load()
    pipeline.load_lora_weights(str(tmp_path), weight_name="lora.safetensors", adapter_name="mine")
    pipeline.set_adapters(["mine"], [scale])
    tiny.require_same(tiny.adapted(adapter, scale), outputs(pipeline.unet, pipeline.text_encoder))


@pytest.mark.parametrize("scale", [1.0, 0.6])
def test_lycoris_reads_ours(tiny: TinyPipeline, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, scale: float) -> None:
    adapter = tiny.draw("lora", tuple(f"{kind}:unet.*" for kind in ("linear", "conv")), rank=3, alpha=5.0)
    export(adapter, tmp_path / "lora.safetensors", "kohya")
    monkeypatch.setattr(LycorisNetwork, "LORA_PREFIX", "lora_unet")
    pipeline = tiny.load()
    network, _ = create_lycoris_from_weights(scale, str(tmp_path / "lora.safetensors"), pipeline.unet)
    network.apply_to()
    tiny.require_same(tiny.adapted(adapter, scale), outputs(pipeline.unet, pipeline.text_encoder))


@pytest.mark.parametrize("tucker", [False, True])
@pytest.mark.parametrize("known", [True, False], ids=["base", "no-base"])
def test_we_read_locon_of_lycoris(tiny: TinyPipeline, tmp_path: Path, tucker: bool, known: bool) -> None:
    pipeline = tiny.load()
    network = create_lycoris(
        pipeline.unet, linear_dim=4, linear_alpha=2, conv_dim=3, conv_alpha=1, algo="lora", use_tucker=tucker
    )
    network.apply_to()
    generator = torch.Generator().manual_seed(1)
    for value in network.parameters():
        value.data = 0.2 * torch.randn(value.shape, generator=generator)
    network.save_weights(str(tmp_path / "lycoris.safetensors"), None, {})
    assert detect(tmp_path / "lycoris.safetensors").name == "kohya"
    adapter = load_any(tmp_path / "lycoris.safetensors", tiny.components if known else None)
    tiny.require_same(tiny.adapted(adapter), outputs(pipeline.unet, pipeline.text_encoder))


@pytest.mark.parametrize("known", [True, False], ids=["base", "no-base"])
def test_round_trip_keeps_everything(tiny: TinyPipeline, tmp_path: Path, known: bool) -> None:
    adapter = tiny.draw("lora", PATTERNS, rank=3, alpha=5.0)
    adapter.provenance.facts.update(trigger="sks robot", base={"family": "sd", "fingerprint": "abc"})
    export(adapter, tmp_path / "lora.safetensors", "kohya")
    loaded = load_any(tmp_path / "lora.safetensors", tiny.components if known else None)
    assert loaded.config == adapter.config
    assert loaded.provenance.facts == adapter.provenance.facts
    assert set(loaded.layers) == set(adapter.layers)
    for layer, params in adapter.values.items():
        for key, value in params.items():
            torch.testing.assert_close(loaded.values[layer][key], value, atol=0, rtol=0)
        ours, theirs = adapter.layers[layer].spec, loaded.layers[layer].spec
        assert (ours.shape, ours.stride, ours.padding) == (theirs.shape, theirs.stride, theirs.padding)


def test_names_are_those_of_comfyui(tiny: TinyPipeline, tmp_path: Path) -> None:
    adapter = tiny.draw("lora", ("unet.mid_block*attn1.to_out.0", "text_encoder.*q_proj"), rank=2)
    adapter.provenance.facts["trigger"] = "sks robot"
    export(adapter, tmp_path / "one.safetensors", "kohya")
    assert set(load_file(tmp_path / "one.safetensors")) == {
        f"{module}.{part}"
        for module in (
            "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_out_0",
            "lora_te_text_model_encoder_layers_0_self_attn_q_proj",
        )
        for part in ("lora_down.weight", "lora_up.weight", "alpha")
    }
    with safe_open(tmp_path / "one.safetensors", "pt") as file:
        assert file.metadata()["modelspec.trigger_phrase"] == "sks robot"
    adapter.provenance.facts["base"] = {"family": "sdxl"}
    export(adapter, tmp_path / "two.safetensors", "kohya")
    assert any(key.startswith("lora_te1_text_model_") for key in load_file(tmp_path / "two.safetensors"))


def test_diffusers_reads_ours_for_flux(
    clip_tokenizer: CLIPTokenizer, draw_adapter: Callable[..., Adapter], tmp_path: Path
) -> None:
    pipeline = build_tiny("flux", clip_tokenizer)
    components = {"transformer": pipeline.transformer, "text_encoder": pipeline.text_encoder}
    # diffusers splits the first projection of single blocks by the published width; see `test_flux`.
    # It recognises the names of a text encoder by the output projection.
    matrices = ("transformer.transformer_blocks.*.to_q", "transformer.*.add_k_proj")
    patterns = (*matrices, "text_encoder.*.q_proj", "text_encoder.*.out_proj")
    adapter = draw_adapter(components, "lora", patterns, rank=2)
    expected = {name: layer.delta_weight(adapter.values[name]) for name, layer in adapter.layers.items()}
    export(adapter, tmp_path / "lora.safetensors", "kohya")
    assert any(key.startswith("lora_te1_text_model_") for key in load_file(tmp_path / "lora.safetensors"))
    pipeline.load_lora_weights(str(tmp_path), weight_name="lora.safetensors", adapter_name="mine")
    for name, change in expected.items():
        component, _, path = name.partition(".")
        layer = components[component].get_submodule(path)
        torch.testing.assert_close(layer.get_delta_weight("mine"), change)
    only_text = draw_adapter({"text_encoder": pipeline.text_encoder}, "lora", ("text_encoder.*.fc1",), rank=2)
    only_text.provenance.facts["base"] = {"family": "flux"}
    export(only_text, tmp_path / "text.safetensors", "kohya")
    assert all(key.startswith("lora_te1_text_model_") for key in load_file(tmp_path / "text.safetensors"))


def test_trigger_of_a_foreign_file(tmp_path: Path) -> None:
    tensors = {
        "lora_unet_mid_block_attentions_0_proj_in.lora_down.weight": torch.ones(2, 64),
        "lora_unet_mid_block_attentions_0_proj_in.lora_up.weight": torch.ones(64, 2),
    }
    save_file(tensors, tmp_path / "lora.safetensors", {"modelspec.trigger_phrase": "ohwx cat"})
    loaded = load_any(tmp_path / "lora.safetensors")
    assert loaded.provenance.facts["trigger"] == "ohwx cat"
    assert loaded.config.alpha is None


def test_linear_factors_fit_a_1x1_convolution(tiny: TinyPipeline, tmp_path: Path) -> None:
    name = "lora_unet_mid_block_attentions_0_proj_in"
    save_file(
        {f"{name}.lora_down.weight": torch.ones(2, 64), f"{name}.lora_up.weight": torch.ones(64, 2)},
        tmp_path / "lora.safetensors",
    )
    loaded = load_any(tmp_path / "lora.safetensors", tiny.components)
    assert loaded.layers["unet.mid_block.attentions.0.proj_in"].shapes()["down"] == (2, 64, 1, 1)


def test_ranks_and_strengths_that_differ_are_brought_together(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    tensors, changes = {}, {}
    for index, (rank, alpha, size) in enumerate([(3, 6.0, 8), (2, 2.0, 8), (5, -1.0, 4)]):
        down, up = torch.randn(rank, size, generator=generator), torch.randn(8, rank, generator=generator)
        name = f"down_blocks_{index}_attentions_0_proj_in"
        tensors |= {f"lora_unet_{name}.lora_down.weight": down, f"lora_unet_{name}.lora_up.weight": up}
        tensors[f"lora_unet_{name}.alpha"] = torch.tensor(alpha)
        changes[f"unet.down_blocks.{index}.attentions.0.proj_in"] = alpha / rank * up @ down
    save_file(tensors, tmp_path / "lora.safetensors")
    loaded = load_any(tmp_path / "lora.safetensors")
    assert loaded.config.rank == 4  # the layer with 4 inputs needs no more than 4 of its 5
    for layer, change in changes.items():
        torch.testing.assert_close(loaded.layers[layer].delta_weight(loaded.values[layer]), change)


def test_a_name_of_no_known_family_needs_the_base(tmp_path: Path) -> None:
    name = "lora_unet_some_thing"
    save_file(
        {f"{name}.lora_down.weight": torch.ones(2, 6), f"{name}.lora_up.weight": torch.ones(8, 2)},
        tmp_path / "lora.safetensors",
    )
    with pytest.raises(MissingBase, match="can only be told with the base"):
        load_any(tmp_path / "lora.safetensors")
    base = {"unet": nn.ModuleDict({"some_thing": nn.Linear(6, 8)})}
    assert list(load_any(tmp_path / "lora.safetensors", base).layers) == ["unet.some_thing"]
    base = {"unet": nn.ModuleDict({"some_thing": nn.Linear(6, 8), "some": nn.ModuleDict({"thing": nn.Linear(6, 8)})})}
    with pytest.raises(BadFile, match=r"may mean some_thing or some\.thing"):
        load_any(tmp_path / "lora.safetensors", base)
