"""Two text encoders: files for Stable Diffusion XL through diffusers' own pipeline."""

from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionXLPipeline, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from portraitist.adapters import Adapter, attached, find_layers
from portraitist.exchange.exporting import export
from portraitist.exchange.loading import load_any

COMPONENTS = ("unet", "text_encoder", "text_encoder_2")


def build_pipeline() -> StableDiffusionXLPipeline:
    """Return a random pipeline in the shape of Stable Diffusion XL, the same every time."""
    text = CLIPTextConfig(
        vocab_size=50,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=8,
        projection_dim=16,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        unet = UNet2DConditionModel(
            sample_size=8,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            block_out_channels=(16, 32),
            layers_per_block=2,
            norm_num_groups=8,
            attention_head_dim=(2, 4),
            use_linear_projection=True,
            cross_attention_dim=32,
            addition_embed_type="text_time",
            addition_time_embed_dim=4,
            projection_class_embeddings_input_dim=40,
        )
        encoders = CLIPTextModel(text).eval(), CLIPTextModelWithProjection(text).eval()
    return StableDiffusionXLPipeline(
        vae=None,
        text_encoder=encoders[0],
        text_encoder_2=encoders[1],
        tokenizer=None,
        tokenizer_2=None,
        unet=unet.eval(),
        scheduler=None,
        add_watermarker=False,
    )


@torch.no_grad()
def run(pipeline: StableDiffusionXLPipeline) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(0, 49, (2, 8), generator=generator)
    first, second = pipeline.text_encoder(ids), pipeline.text_encoder_2(ids)
    states = torch.cat([first[0], second.last_hidden_state], -1)
    extra = {"text_embeds": second.text_embeds, "time_ids": torch.randn(2, 6, generator=generator)}
    latents = torch.randn(2, 4, 8, 8, generator=generator)
    output: Tensor = pipeline.unet(latents, 300, states, added_cond_kwargs=extra).sample
    return output


@pytest.fixture
def base() -> dict[str, nn.Module]:
    pipeline = build_pipeline()
    return {name: getattr(pipeline, name) for name in COMPONENTS}


@pytest.fixture
def adapter(base: dict[str, nn.Module]) -> Adapter:
    generator = torch.Generator().manual_seed(3)
    patterns = ("linear:unet.*block*", "conv:unet.*block*", "linear:text_encoder*layers*")
    made = Adapter.create("lora", {"rank": 3, "alpha": 5.0}, find_layers(base, patterns), generator)
    for tensors in made.values.values():
        for key, value in tensors.items():
            tensors[key] = nn.Parameter(0.1 * torch.randn(value.shape, generator=generator), requires_grad=False)
    return made


@pytest.mark.parametrize("format", ["diffusers", "kohya"])
@pytest.mark.parametrize("scale", [1.0, 0.6])
def test_diffusers_reads_ours(
    adapter: Adapter, base: dict[str, nn.Module], tmp_path: Path, format: str, scale: float
) -> None:
    export(adapter, tmp_path / "lora.safetensors", format)
    loaded = load_any(tmp_path / "lora.safetensors", base)
    assert set(loaded.layers) == set(load_any(tmp_path / "lora.safetensors").layers) == set(adapter.layers)
    ours, theirs = build_pipeline(), build_pipeline()
    frozen = run(ours)
    theirs.load_lora_weights(str(tmp_path), weight_name="lora.safetensors", adapter_name="mine")
    theirs.set_adapters(["mine"], [scale])
    with attached({name: getattr(ours, name) for name in COMPONENTS}, loaded, scale):
        changed = run(ours)
    torch.testing.assert_close(changed, run(theirs), atol=1e-5, rtol=1e-5)
    assert float((changed - frozen).abs().max()) > 1e-2


def test_names_say_which_text_encoder(adapter: Adapter, tmp_path: Path) -> None:
    export(adapter, tmp_path / "lora.safetensors", "kohya")
    keys = set(load_file(tmp_path / "lora.safetensors"))
    for encoder in ("te1", "te2"):
        assert f"lora_{encoder}_text_model_encoder_layers_0_mlp_fc1.lora_down.weight" in keys


def test_the_original_layout_of_the_blocks(adapter: Adapter, base: dict[str, nn.Module], tmp_path: Path) -> None:
    export(adapter, tmp_path / "lora.safetensors", "kohya")
    original = {
        "lora_unet_down_blocks_1_attentions_0_": "lora_unet_input_blocks_4_1_",
        "lora_unet_mid_block_attentions_0_": "lora_unet_middle_block_1_",
        "lora_unet_up_blocks_0_attentions_1_": "lora_unet_output_blocks_1_1_",
    }
    tensors = {}
    for key, value in load_file(tmp_path / "lora.safetensors").items():
        prefix = next((prefix for prefix in original if key.startswith(prefix)), "")
        tensors[original.get(prefix, "") + key.removeprefix(prefix)] = value
    save_file(tensors, tmp_path / "original.safetensors")
    for known in (base, None):
        loaded = load_any(tmp_path / "original.safetensors", known)
        assert set(loaded.layers) == set(adapter.layers)
        layer = "unet.mid_block.attentions.0.proj_in"
        torch.testing.assert_close(loaded.values[layer]["down"], adapter.values[layer]["down"])
