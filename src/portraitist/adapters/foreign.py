"""Recognising safetensors files of others by their tensors' names, to say what they are."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class _Kind:
    """A kind of file: patterns of which every one must be found in some key, and words for it."""

    patterns: tuple[str, ...]
    words: str


# The first kind that fits is taken, so the particular ones stand first.
_KINDS = (
    _Kind((r"\.lokr_w[12]",), "a LyCORIS LoKr (Kronecker) adapter"),
    _Kind((r"\.hada_w[12]_[ab]$",), "a LyCORIS LoHa adapter"),
    _Kind((r"\.oft_(blocks|diag|R)|oft_r",), "an orthogonal fine-tuning adapter"),
    _Kind((r"dora_scale$|lora_magnitude_vector",), "a weight-decomposed LoRA (DoRA)"),
    _Kind((r"^lora_(unet|te\d?|transformer)_.*\.lora_down\.weight$",), "a LoRA in kohya's layout"),
    _Kind((r"^base_model\.model\..*\.lora_[AB]\.weight$",), "a LoRA in PEFT's layout"),
    _Kind((r"^(unet|transformer|text_encoder(_2)?)\..*\.lora_[AB]\.weight$",), "a LoRA in diffusers' layout"),
    _Kind((r"\.lora[._](down|up)\.weight$|\.processor\..*_lora\.",), "a LoRA in an older layout of diffusers"),
    _Kind((r"\.delta$",), "spectral shifts of svdiff-pytorch"),
    _Kind((r"^image_proj\.|^ip_adapter\.",), "an IP-Adapter"),
    _Kind((r"^control_model\.|^controlnet_|^zero_convs\.",), "a ControlNet"),
    _Kind((r"^emb_params$|^string_to_param|^clip_[lg]$|^<.*>$",), "a textual inversion embedding"),
    _Kind((r"^conditioner\.embedders\.1\.", r"^model\.diffusion_model\."), "a whole Stable Diffusion XL checkpoint"),
    _Kind((r"^cond_stage_model\.", r"^model\.diffusion_model\."), "a whole Stable Diffusion 1.x or 2.x checkpoint"),
    _Kind((r"(^|\.)double_blocks\.\d+\.img_attn\.",), "a Flux transformer"),
    _Kind((r"(^|\.)joint_blocks\.\d+\.",), "a Stable Diffusion 3 transformer"),
    _Kind((r"^model\.diffusion_model\.",), "a denoiser in the original Stable Diffusion layout"),
    _Kind((r"^down_blocks\.\d+\.", r"^up_blocks\.\d+\.", r"^time_embedding\."), "a UNet in diffusers' layout"),
    _Kind((r"^transformer_blocks\.\d+\.",), "a diffusion transformer in diffusers' layout"),
    _Kind((r"^encoder\.", r"^decoder\.", r"quant_conv|^decoder\.conv_out"), "an autoencoder (VAE)"),
    _Kind((r"^(text_model\.)?embeddings\.token_embedding\.",), "a CLIP text encoder"),
    _Kind((r"^vision_model\.",), "a vision encoder"),
    _Kind((r"^(model\.)?layers\.\d+\.(self_attn|mlp)\.",), "a language model"),
)
# What trainers of others write about themselves.
_TRAINERS = {"ss_": "written by kohya's sd-scripts", "modelspec.": "with a model specification header"}


def recognise(keys: Collection[str], metadata: Mapping[str, str]) -> str:
    """Say in a few words what a safetensors file seems to be.

    Args:
        keys: Its tensors' names.
        metadata: Its metadata.
    """
    if not keys:
        return "an empty file"
    for kind in _KINDS:
        if all(any(re.search(pattern, key) for key in keys) for pattern in kind.patterns):
            words = kind.words
            break
    else:
        words = "something unknown"
    notes = [note for prefix, note in _TRAINERS.items() if any(name.startswith(prefix) for name in metadata)]
    return ", ".join([words, *notes])
