"""Last stage: the parts joined into a pipeline in Stable Diffusion's layout, as `portraitist.bases` loads it."""

from pathlib import Path

import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer

from portraitist.toyland.denoiser import build_scheduler

LARGEST_FILE = "15MB"


def assemble(
    vae: AutoencoderKL, text: CLIPTextModel, tokenizer: CLIPTokenizer, unet: UNet2DConditionModel
) -> StableDiffusionPipeline:
    """Put a pipeline together."""
    return StableDiffusionPipeline(
        vae=vae.eval(),
        text_encoder=text.eval(),
        tokenizer=tokenizer,
        unet=unet.eval(),
        scheduler=build_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def save_pipeline(pipeline: StableDiffusionPipeline, target: Path) -> None:
    """Write a pipeline in float16, large weights in shards."""
    pipeline.to("cpu", torch.float16)
    for part in (pipeline.vae, pipeline.unet):
        part.to(memory_format=torch.contiguous_format)
        part.register_to_config(_name_or_path="toyland")  # not the folder it was made in
    pipeline.save_pretrained(target, safe_serialization=True, max_shard_size=LARGEST_FILE)
