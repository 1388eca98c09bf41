"""LoRA through diffusers' own pipelines, both ways."""

from pathlib import Path

import pytest
import torch
from comparing import TinyPipeline, outputs
from diffusers import StableDiffusionPipeline
from diffusers.utils import convert_state_dict_to_diffusers
from peft import LoraConfig, get_peft_model_state_dict
from safetensors.torch import load_file, save_file
from torch import Tensor

from portraitist.exchange.exporting import export
from portraitist.exchange.formats import detect
from portraitist.exchange.loading import load_any

EVERYWHERE = ("linear:*", "conv:*")
UNET_TARGETS = ["to_q", "to_k", "to_out.0", "conv1", "proj_in", "downsamplers.0.conv"]
TEXT_TARGETS = ["q_proj", "out_proj", "fc1"]


@pytest.fixture
def trained_pipeline(tiny: TinyPipeline) -> StableDiffusionPipeline:
    """Return a pipeline with LoRA of diffusers' making, with random values and rank unlike alpha."""
    pipeline = tiny.load()
    pipeline.unet.add_adapter(LoraConfig(r=4, lora_alpha=6, target_modules=UNET_TARGETS, rank_pattern={"conv1": 2}))
    pipeline.text_encoder.add_adapter(LoraConfig(r=4, lora_alpha=2, target_modules=TEXT_TARGETS))
    generator = torch.Generator().manual_seed(1)
    for model in (pipeline.unet, pipeline.text_encoder):
        for name, value in model.named_parameters():
            if "lora_" in name:
                value.data = 0.1 * torch.randn(value.shape, generator=generator)
    return pipeline


@pytest.mark.parametrize("scale", [1.0, 0.6])
@pytest.mark.parametrize("patterns", [EVERYWHERE, ("*attn*",), ("unet.*to_q", "*fc1")], ids=["all", "attention", "mlp"])
def test_diffusers_reads_ours(tiny: TinyPipeline, tmp_path: Path, patterns: tuple[str, ...], scale: float) -> None:
    adapter = tiny.draw("lora", (*patterns, "!norm:*"), rank=3, alpha=5.0)
    report = export(adapter, tmp_path / "lora.safetensors", "diffusers")
    assert report.exact
    pipeline = tiny.load()
    pipeline.load_lora_weights(str(tmp_path), weight_name="lora.safetensors", adapter_name="mine")
    pipeline.set_adapters(["mine"], [scale])
    tiny.require_same(tiny.adapted(adapter, scale), outputs(pipeline.unet, pipeline.text_encoder))


@pytest.mark.parametrize("known", [True, False], ids=["base", "no-base"])
@pytest.mark.parametrize("layout", ["peft", "diffusers"])
def test_we_read_what_diffusers_saves(
    tiny: TinyPipeline, trained_pipeline: StableDiffusionPipeline, tmp_path: Path, layout: str, known: bool
) -> None:
    pipeline = trained_pipeline
    unet, text = get_peft_model_state_dict(pipeline.unet), get_peft_model_state_dict(pipeline.text_encoder)
    if layout == "diffusers":
        unet, text = convert_state_dict_to_diffusers(unet), convert_state_dict_to_diffusers(text)
    metadata = {
        f"{part}_lora_adapter_metadata": model.peft_config["default"].to_dict()
        for part, model in (("unet", pipeline.unet), ("text_encoder", pipeline.text_encoder))
    }
    pipeline.save_lora_weights(tmp_path, unet, text, **metadata)
    assert detect(tmp_path).name == "diffusers"
    adapter = load_any(tmp_path, tiny.components if known else None)
    assert set(adapter.components()) == {"unet", "text_encoder"}
    tiny.require_same(tiny.adapted(adapter), outputs(pipeline.unet, pipeline.text_encoder))


def test_alpha_tensors_count(tiny: TinyPipeline, tmp_path: Path) -> None:
    adapter = tiny.draw("lora", ("unet.*to_q",), rank=2)
    export(adapter, tmp_path / "lora.safetensors", "diffusers")
    tensors = load_file(tmp_path / "lora.safetensors")
    tensors |= {key.replace("lora_A.weight", "alpha"): torch.tensor(3.0) for key in tensors if "lora_A" in key}
    save_file(tensors, tmp_path / "alpha.safetensors")
    loaded = load_any(tmp_path / "alpha.safetensors", tiny.components)
    assert (loaded.config.rank, loaded.config.alpha) == (2, 3.0)


@pytest.mark.parametrize("prefix", ["unet.", ""], ids=["prefixed", "unet-alone"])
def test_the_oldest_layout(tiny: TinyPipeline, tmp_path: Path, prefix: str) -> None:
    patterns = ("unet.*to_[qkv]", "unet.*to_out.0") + (("text_encoder.*_proj",) if prefix else ())
    adapter = tiny.draw("lora", patterns, rank=2)
    tensors: dict[str, Tensor] = {}
    for layer, params in adapter.values.items():
        name = layer.removeprefix("unet.").removesuffix(".0").replace("attn1.", "attn1.processor.")
        name = name.replace("attn2.", "attn2.processor.").replace("out_proj", "to_out")
        name = name.replace("text_encoder.", "text_encoder.text_model.")
        for kind in "qkv":
            name = name.replace(f"{kind}_proj", f"to_{kind}")
        name = name if layer.startswith("text_encoder") else prefix + name
        tensors |= {f"{name}_lora.{side}.weight": params[side] for side in ("down", "up")}
    save_file(
        {key: value.contiguous() for key, value in tensors.items()}, tmp_path / "pytorch_lora_weights.safetensors"
    )
    tiny.require_same(tiny.adapted(load_any(tmp_path, tiny.components)), tiny.adapted(adapter))
    tiny.require_same(tiny.adapted(load_any(tmp_path)), tiny.adapted(adapter))


def test_weight_decomposition_is_read(tiny: TinyPipeline, tmp_path: Path) -> None:
    pipeline = tiny.load()
    pipeline.unet.add_adapter(LoraConfig(r=2, lora_alpha=2, target_modules=["to_q", "to_v"], use_dora=True))
    generator = torch.Generator().manual_seed(1)
    for value in pipeline.unet.parameters():
        if value.requires_grad:
            value.data = value.data + 0.2 * torch.randn(value.shape, generator=generator)
    pipeline.save_lora_weights(tmp_path, get_peft_model_state_dict(pipeline.unet))
    adapter = load_any(tmp_path, tiny.components)
    assert adapter.method.name == "dora"
    tiny.require_same(tiny.adapted(adapter), outputs(pipeline.unet, pipeline.text_encoder))
