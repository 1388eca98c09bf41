"""Writing diffusers pipelines in the original layout of Stable Diffusion 1.x, 2.x and XL, and of FLUX.1.

The names are those of the published checkpoints; diffusers converts only the other way.
"""

import re
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from portraitist.bases.flux_layout import is_exchanged, modern_modules, original_module

Weights = dict[str, Tensor]

_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_UNET = {
    "conv_in.": "input_blocks.0.0.",
    "time_embedding.linear_1.": "time_embed.0.",
    "time_embedding.linear_2.": "time_embed.2.",
    "add_embedding.linear_1.": "label_emb.0.0.",
    "add_embedding.linear_2.": "label_emb.0.2.",
    "conv_norm_out.": "out.0.",
    "conv_out.": "out.2.",
    "mid_block.resnets.0.": "middle_block.0.",
    "mid_block.attentions.0.": "middle_block.1.",
    "mid_block.resnets.1.": "middle_block.2.",
}
_VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
_OPEN_CLIP = {
    "embeddings.position_embedding.weight": "positional_embedding",
    "embeddings.token_embedding.": "token_embedding.",
    "final_layer_norm.": "ln_final.",
    "encoder.layers.": "transformer.resblocks.",
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}


def original_weights(components: dict[str, nn.Module]) -> Weights:
    """Return the weights of a UNet, a VAE and text encoders under their original names."""
    is_xl = "text_encoder_2" in components
    unet, vae, first = components["unet"], components["vae"], components["text_encoder"]
    weights = {f"model.diffusion_model.{key}": value for key, value in _unet(unet).items()}
    weights |= {f"first_stage_model.{key}": value for key, value in _vae(vae).items()}
    clip: Any = first
    if is_xl:
        weights |= {f"conditioner.embedders.0.transformer.{key}": value for key, value in _clip(first).items()}
        second = _open_clip(components["text_encoder_2"])
        weights |= {f"conditioner.embedders.1.model.{key}": value for key, value in second.items()}
    elif clip.config.hidden_act == "gelu":  # OpenCLIP; OpenAI's has its own approximation
        weights |= {f"cond_stage_model.model.{key}": value for key, value in _open_clip(first).items()}
    else:
        weights |= {f"cond_stage_model.transformer.{key}": value for key, value in _clip(first).items()}
    return weights


def flux_weights(weights: Weights) -> Weights:
    """Return the weights of a FLUX.1 transformer under their original names."""
    originals: Weights = {}
    for key in weights:
        module, _, kind = key.rpartition(".")
        name = original_module(module)
        parts = torch.cat([weights[f"{part}.{kind}"] for part in modern_modules(name)])
        if is_exchanged(name):
            parts = torch.cat(parts.chunk(2)[::-1])
        originals[f"{name}.{'scale' if '_norm' in name else kind}"] = parts
    return originals


def whole_flux_weights(components: dict[str, nn.Module]) -> Weights:
    """Return all weights of a FLUX.1 model as ComfyUI keeps them in one file."""
    transformer = flux_weights(components["transformer"].state_dict())
    weights = {f"model.diffusion_model.{key}": value for key, value in transformer.items()}
    weights |= {f"vae.{key}": value for key, value in _vae(components["vae"]).items()}
    clip, t5 = _clip(components["text_encoder"]), components["text_encoder_2"].state_dict()
    weights |= {f"text_encoders.clip_l.transformer.{key}": value for key, value in clip.items()}
    t5.pop("encoder.embed_tokens.weight", None)  # the same as `shared`
    return weights | {f"text_encoders.t5xxl.transformer.{key}": value for key, value in t5.items()}


def save_original(components: dict[str, nn.Module], path: Path) -> Path:
    """Write a single-file checkpoint."""
    save_file({key: value.contiguous() for key, value in original_weights(components).items()}, path)
    return path


def _unet(unet: nn.Module) -> Weights:
    config: Any = unet.config
    layers = config.layers_per_block + 1
    return {_unet_name(key, layers, list(config.up_block_types)): value for key, value in unet.state_dict().items()}


def _unet_name(key: str, layers: int, up_blocks: list[str]) -> str:
    for prefix, original in _UNET.items():
        if key.startswith(prefix):
            return original + _inside(key, key.removeprefix(prefix))
    side, block, part, place, rest = re.fullmatch(
        r"(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.+)", key
    ).groups()
    start = int(block) * layers
    if part == "downsamplers":
        return f"input_blocks.{start + layers}.0.op.{rest.removeprefix('conv.')}"
    if part == "upsamplers":
        behind = 2 if "CrossAttn" in up_blocks[int(block)] else 1
        return f"output_blocks.{start + layers - 1}.{behind}.{rest}"
    number = start + int(place) + (1 if side == "down" else 0)
    column = 1 if part == "attentions" else 0
    return f"{'input' if side == 'down' else 'output'}_blocks.{number}.{column}.{_inside(key, rest)}"


def _inside(key: str, rest: str) -> str:
    if ".resnets." not in key:
        return rest
    name, _, kind = rest.rpartition(".")
    return f"{_RESNET[name]}.{kind}"


def _vae(vae: nn.Module) -> Weights:
    config: Any = vae.config
    last = len(config.block_out_channels) - 1
    weights: Weights = {}
    for key, value in vae.state_dict().items():
        name = re.sub(r"down_blocks\.(\d+)\.resnets\.", r"down.\1.block.", key)
        name = re.sub(r"down_blocks\.(\d+)\.downsamplers\.0", r"down.\1.downsample", name)
        name = re.sub(r"up_blocks\.(\d+)\.", lambda match: f"up.{last - int(match[1])}.", name)
        name = name.replace("upsamplers.0", "upsample").replace("conv_shortcut", "nin_shortcut")
        name = re.sub(r"mid_block\.resnets\.(\d)", lambda match: f"mid.block_{int(match[1]) + 1}", name)
        name = re.sub(r"(up\.\d+)\.resnets", r"\1.block", name).replace("conv_norm_out", "norm_out")
        if "mid_block.attentions.0." in name:
            side, _, rest = name.partition("mid_block.attentions.0.")
            part, _, kind = rest.rpartition(".")
            name = f"{side}mid.attn_1.{_VAE_ATTENTION[part]}.{kind}"
            value = value[..., None, None] if value.ndim == 2 else value  # 1x1 convolutions there
        weights[name] = value
    return weights


def _clip(encoder: nn.Module) -> Weights:
    return {f"text_model.{key.removeprefix('text_model.')}": value for key, value in encoder.state_dict().items()}


def _open_clip(encoder: nn.Module) -> Weights:
    weights: Weights = {}
    state = {key.removeprefix("text_model."): value for key, value in encoder.state_dict().items()}
    for key, value in state.items():
        match = re.fullmatch(r"encoder\.layers\.(\d+)\.self_attn\.q_proj\.(weight|bias)", key)
        if match:
            merged = torch.cat([state[key.replace("q_proj", f"{name}_proj")] for name in "qkv"])
            weights[f"transformer.resblocks.{match[1]}.attn.in_proj_{match[2]}"] = merged
        elif key == "text_projection.weight":
            weights["text_projection"] = value.T
        elif not re.search(r"\.[kv]_proj\.", key):
            for name, original in _OPEN_CLIP.items():
                key = key.replace(name, original)
            weights[key] = value
    return weights
