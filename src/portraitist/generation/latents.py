"""Pictures to latents and back, prompts to conditions, latents to predictions: for training as for editing."""

from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor

from portraitist.bases import Base
from portraitist.bases.families import Conditions, Framing, upcast
from portraitist.bases.transfers import sent


def encode_image(base: Base, image: Image.Image) -> Tensor:
    """Return the mean latents of a picture, ``[1, c, h, w]`` in float32 on the base's device."""
    mean, _ = base.family.encode_images([image])
    return mean.to(base.device)


@torch.no_grad()
def decode_latents(base: Base, latents: Tensor) -> list[Image.Image]:
    """Return the pictures of scaled latents ``[n, c, h, w]``."""
    vae = base.pipeline.vae
    unscaled = latents / vae.config.scaling_factor + (vae.config.get("shift_factor") or 0.0)
    with upcast(vae):
        pixels = vae.decode(unscaled.to(vae.device, vae.dtype)).sample
    images: list[Image.Image] = base.pipeline.image_processor.postprocess(pixels.detach().float(), output_type="pil")
    return images


@torch.no_grad()
def encode_conditions(base: Base, prompts: Sequence[str], latents: Tensor) -> Conditions:
    """Return the denoiser's conditions for whole pictures of the latents' size, one a prompt."""
    scale = base.pipeline.vae_scale_factor
    height, width = (side * scale for side in latents.shape[-2:])
    framings = [Framing.whole(height, width)] * len(prompts)
    return {**base.family.encode_prompts(prompts), **base.family.encode_framings(framings)}


def repeat_conditions(conditions: Conditions, count: int) -> Conditions:
    """Return conditions for ``count`` copies of each row, copies next to each other."""
    return {name: value.repeat_interleave(count, dim=0) for name, value in conditions.items()}


def predict(base: Base, latents: Tensor, timesteps: Tensor, conditions: Conditions) -> Tensor:
    """Run the denoiser in its own precision and return its prediction in float32; gradients pass."""
    noised = sent(latents, base.device, base.family.dtype)
    return base.family.predict(noised, sent(timesteps, base.device), conditions).float()
