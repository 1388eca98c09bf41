"""Tiny untrained models of the classes people use: Stable Diffusion 1.x and 2.x, XL, FLUX.1; 32 x 32 pixels."""

from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DiffusionPipeline,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
)

KINDS = ("sd1", "sd2", "sdxl", "flux")
_LENGTH = 16
_SCHEDULE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def build_tiny(kind: str, tokenizer: CLIPTokenizer, seed: int = 0) -> DiffusionPipeline:
    """Build a pipeline of one of `KINDS` with random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return {"sd1": _sd1, "sd2": _sd2, "sdxl": _sdxl, "flux": _flux}[kind](tokenizer)


def _sd1(tokenizer: CLIPTokenizer) -> DiffusionPipeline:
    text = CLIPTextModel(_clip(tokenizer, 32, "quick_gelu"))
    return _stable_diffusion(tokenizer, text, DDIMScheduler(**_SCHEDULE, clip_sample=False))


def _sd2(tokenizer: CLIPTokenizer) -> DiffusionPipeline:
    """OpenCLIP, linear projections and velocity prediction."""
    text = CLIPTextModel(_clip(tokenizer, 32, "gelu"))
    scheduler = DDIMScheduler(**_SCHEDULE, clip_sample=False, prediction_type="v_prediction")
    return _stable_diffusion(tokenizer, text, scheduler, use_linear_projection=True)


def _stable_diffusion(
    tokenizer: CLIPTokenizer, text: CLIPTextModel, scheduler: DDIMScheduler, **unet: bool
) -> DiffusionPipeline:
    return StableDiffusionPipeline(
        vae=_autoencoder(),
        text_encoder=text,
        tokenizer=tokenizer,
        unet=_unet(cross_attention_dim=32, **unet),
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def _sdxl(tokenizer: CLIPTokenizer) -> DiffusionPipeline:
    second = _clip(tokenizer, 48, "gelu")
    return StableDiffusionXLPipeline(
        vae=_autoencoder(force_upcast=True),
        text_encoder=CLIPTextModel(_clip(tokenizer, 32, "quick_gelu")),
        text_encoder_2=CLIPTextModelWithProjection(second),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=_unet(
            cross_attention_dim=80,
            use_linear_projection=True,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=6 * 8 + 48,
        ),
        scheduler=EulerDiscreteScheduler(**_SCHEDULE, timestep_spacing="leading", steps_offset=1),
        add_watermarker=False,
    )


def _flux(tokenizer: CLIPTokenizer) -> DiffusionPipeline:
    words = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    words += [(letter, -4.0) for letter in "abcdefghijklmnopqrstuvwxyz"]
    t5 = T5Tokenizer(vocab=words, extra_ids=0, model_max_length=_LENGTH)
    text = T5Config(
        vocab_size=64, d_model=32, d_kv=8, d_ff=64, num_layers=1, num_heads=4, feed_forward_proj="gated-gelu"
    )
    transformer = FluxTransformer2DModel(
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        pooled_projection_dim=32,
        guidance_embeds=True,
        axes_dims_rope=(4, 6, 6),
    )
    # CLIP's pooled state would hardly reach the pictures of an untrained model.
    transformer.time_text_embed.text_embedder.linear_1.weight.data *= 100
    return FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
        vae=_autoencoder(shift_factor=0.1159, scaling_factor=0.3611, use_quant_conv=False, use_post_quant_conv=False),
        text_encoder=CLIPTextModel(_clip(tokenizer, 32, "quick_gelu")),
        tokenizer=tokenizer,
        text_encoder_2=T5EncoderModel(text),
        tokenizer_2=t5,
        transformer=transformer,
    )


def _unet(**settings: object) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(32, 64),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=(2, 4),
        **settings,
    )


def _autoencoder(**settings: object) -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(8, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=32,
        **settings,
    )


def _clip(tokenizer: CLIPTokenizer, width: int, activation: str) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        projection_dim=width,
        intermediate_size=2 * width,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=tokenizer.model_max_length,
        hidden_act=activation,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def save_tiny(kind: str, tokenizer: CLIPTokenizer, folder: Path, seed: int = 0, **options: object) -> Path:
    """Write a tiny pipeline in the diffusers layout."""
    build_tiny(kind, tokenizer, seed).save_pretrained(folder, **options)
    return folder
