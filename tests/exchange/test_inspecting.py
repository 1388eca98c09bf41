"""What a safetensors file seems to be."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from portraitist.adapters import Adapter, find_layers, save_adapter, save_bank, stack
from portraitist.errors import BadFile
from portraitist.exchange.inspecting import inspect_file
from portraitist.exchange.recognising import recognise

LORA = "base_model.model.unet.mid.to_q.lora_A.weight"


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (["lora_unet_down_blocks_0.lora_down.weight", "lora_unet_down_blocks_0.alpha"], "a LoRA in kohya's layout"),
        (["lora_te1_text_model.lora_down.weight"], "a LoRA in kohya's layout"),
        ([LORA], "a LoRA in PEFT's layout"),
        (["unet.mid_block.to_q.lora_A.weight"], "a LoRA in diffusers' layout"),
        (["double_blocks.0.processor.qkv_lora1.down.weight"], "a LoRA of XLabs for Flux"),
        (["diffusion_model.single_blocks.0.linear1.lora_A.weight"], "a LoRA in the original layout of Flux"),
        (["unet.up_blocks.0.to_q.lora.down.weight"], "a LoRA in an older layout of diffusers"),
        (["lora_unet_mid.lokr_w1", "lora_unet_mid.lokr_w2"], "a LyCORIS LoKr (Kronecker) adapter"),
        (["lora_unet_mid.hada_w1_a"], "a LyCORIS LoHa adapter"),
        (["lora_unet_mid.lora_down.weight", "lora_unet_mid.dora_scale"], "a weight-decomposed LoRA (DoRA)"),
        (["image_proj.proj.weight", "ip_adapter.1.to_k_ip.weight"], "an IP-Adapter"),
        (["emb_params"], "a textual inversion embedding"),
        (["clip_g", "clip_l"], "a textual inversion embedding"),
        (
            ["model.diffusion_model.input_blocks.0.0.weight", "cond_stage_model.transformer.x"],
            "a whole Stable Diffusion 1.x or 2.x checkpoint",
        ),
        (
            ["model.diffusion_model.input_blocks.0.0.weight", "conditioner.embedders.1.model.x"],
            "a whole Stable Diffusion XL checkpoint",
        ),
        (
            ["down_blocks.0.x", "up_blocks.0.x", "time_embedding.linear_1.weight"],
            "a UNet in diffusers' layout",
        ),
        (["encoder.conv_in.weight", "decoder.conv_out.weight"], "an autoencoder (VAE)"),
        (["text_model.embeddings.token_embedding.weight"], "a CLIP text encoder"),
        (["model.layers.0.self_attn.q_proj.weight"], "a language model"),
        (["something.else"], "something unknown"),
        ([], "an empty file"),
    ],
)
def test_files_of_others(keys: list[str], words: str) -> None:
    assert recognise(keys, {}) == words


def test_the_trainer_is_named() -> None:
    assert recognise([LORA], {"ss_epoch": "1"}) == "a LoRA in PEFT's layout, written by kohya's sd-scripts"


def test_an_adapter_is_counted_from_its_header(tmp_path: Path) -> None:
    components = {"unet": torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Conv2d(2, 3, 1))}
    adapter = Adapter.create("full", {}, find_layers(components, ["unet.*"]), torch.Generator())
    save_adapter(adapter, tmp_path / "a.safetensors")
    found = inspect_file(tmp_path / "a.safetensors")
    assert found.is_adapter
    assert found.seems == "a portraitist adapter (full)"
    assert found.layers == {"unet": {"linear": 1, "conv": 1}}
    assert found.parameters == adapter.count() == 4 * 8 + 8 + 2 * 3 + 3
    assert found.dtypes == {"F32": 4}


def test_a_bank_says_how_many_adapters_it_holds(tmp_path: Path) -> None:
    components = {"unet": torch.nn.Sequential(torch.nn.Linear(4, 8))}
    specs = find_layers(components, ["unet.*"])
    bank = stack([Adapter.create("lora", {}, specs, torch.Generator().manual_seed(seed)) for seed in range(3)])
    save_bank(bank, tmp_path / "bank.safetensors")
    found = inspect_file(tmp_path / "bank.safetensors")
    assert found.seems == "a bank of 3 portraitist adapters (lora)"
    assert found.parameters == bank.count()
    assert "lora" in found.to_json()


def test_a_damaged_description_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    metadata = {"format": "portraitist-adapter-1", "portraitist": '{"method": "lora"}'}
    save_file({"unet.x.up": torch.zeros(2, 2)}, file, metadata=metadata)
    with pytest.raises(BadFile, match="damaged or from a newer version"):
        inspect_file(file)
    metadata["portraitist"] = "no json"
    save_file({"unet.x.up": torch.zeros(2, 2)}, file, metadata=metadata)
    with pytest.raises(BadFile, match="unreadable"):
        inspect_file(file)
