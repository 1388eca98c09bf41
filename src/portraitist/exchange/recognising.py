"""Recognising safetensors files of others by their tensors' names, to say what they are and which base they are for."""

import itertools
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
    _Kind((r"_blocks\.\d+\.processor\.(qkv|proj)_lora",), "a LoRA of XLabs for Flux"),
    _Kind((r"(^|\.)(double|single)_blocks\.\d+\..*\.lora_([AB]|down|up)\.",), "a LoRA in the original layout of Flux"),
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
# What programs write about themselves; ours stands first, as it writes the notes of others too.
_WRITERS = {
    "portraitist": "written by portraitist",
    "ss_": "written by kohya's sd-scripts",
    "modelspec.": "with a model specification header",
}
# Widths of the conditions that denoisers attend to, and of CLIP text encoders.
_CONDITIONS = {768: "Stable Diffusion 1.x", 1024: "Stable Diffusion 2.x", 2048: "Stable Diffusion XL"}
_ENCODERS = {
    768: "Stable Diffusion 1.x or the first text encoder of later models",
    1024: "Stable Diffusion 2.x",
    1280: "the second text encoder of Stable Diffusion XL",
}
# Where trainers of others note the base.
_NOTES = ("modelspec.architecture", "ss_base_model_version", "ss_sd_model_name")


# What stands in the names of tensors of every format of adapters that can be read, and in few other files.
_MARKS = ("lora", ".lokr_w", ".hada_w", ".delta", "base_model.model.")


def may_be_adapter(keys: Collection[str]) -> bool:
    """Say whether tensors' names may be those of an adapter, so that the formats have to look closer."""
    return any(mark in key for key in keys for mark in _MARKS)


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
    notes = (note for prefix, note in _WRITERS.items() if any(name.startswith(prefix) for name in metadata))
    return ", ".join([words, *itertools.islice(notes, 1)])


def recognise_base(weights: Mapping[str, tuple[int, ...]], metadata: Mapping[str, str]) -> str | None:
    """Say which base an adapter seems to be for; None without a clue.

    Args:
        weights: Shapes of the weights it changes, by layer.
        metadata: Its file's metadata.
    """
    if noted := [metadata[note] for note in _NOTES if metadata.get(note)]:
        return f"{noted[0]}, as its file notes"
    if any(layer.startswith("transformer.single_transformer_blocks.") for layer in weights):
        return "Flux"
    if any(layer.startswith("transformer.") for layer in weights):
        return "a diffusion transformer"
    for pattern, known in ((r"unet\..*\.attn2\.to_[kv]", _CONDITIONS), (r"text_encoder.*\.[qkv]_proj", _ENCODERS)):
        width = next((shape[1] for layer, shape in weights.items() if re.fullmatch(pattern, layer)), None)
        if width is not None:
            return known.get(width, f"a model with conditions {width} wide")
    return None
