"""What of an adapter's effect another one keeps, measured where it counts: in the base's predictions."""

import torch
from torch import Tensor

from portraitist.adapters import Adapter, attached
from portraitist.bases import Base
from portraitist.bases.families import Framing
from portraitist.randomness import torch_generator

_PICTURES = 2
_SAMPLING_STEPS = 4
_NOISE_LEVELS = 4  # for each picture
_USUAL_PROMPT = "a photo"


@torch.no_grad()
def kept_effect(base: Base, original: Adapter, other: Adapter) -> float | None:
    """Return how much of what an adapter does to predictions another one does too.

    Two pictures of the subject are sampled in few steps with the original, noised to four levels each, and
    predicted: ``1 - |other - original|^2 / |base - original|^2``, 1 where the other does the very same, 0 where it
    might as well be missing, below that where it does something else.

    Args:
        base: Their base.
        original: The adapter.
        other: What it was converted to.

    Returns:
        The share; None if the original changes nothing.
    """
    prompts = [original.provenance.trigger or _USUAL_PROMPT] * _PICTURES
    original, other = original.to(base.device), other.to(base.device)
    with attached(base.components, original):
        latents = _sample(base, prompts).repeat_interleave(_NOISE_LEVELS, dim=0)
    generator = torch_generator(0, "kept effect")
    noise = torch.randn(latents.shape, generator=generator)
    timesteps = base.family.draw_timesteps(len(latents), generator, (latents.shape[-2], latents.shape[-1]))
    noised = base.family.add_noise(latents, noise, timesteps)
    framings = [Framing.whole(base.family.resolution, base.family.resolution)] * len(latents)
    texts = [prompt for prompt in prompts for _ in range(_NOISE_LEVELS)]

    def predict() -> Tensor:
        conditions = {**base.family.encode_prompts(texts), **base.family.encode_framings(framings)}
        moved = noised.to(base.device, base.family.dtype), timesteps.to(base.device)
        return base.family.predict(*moved, conditions).float()

    without = predict()
    with attached(base.components, original):
        wanted = predict()
    with attached(base.components, other):
        found = predict()
    effect = float((without - wanted).square().sum())
    return None if effect == 0 else 1 - float((found - wanted).square().sum()) / effect


def _sample(base: Base, prompts: list[str]) -> Tensor:
    """Return the latents ``[n, c, h, w]`` of quickly sampled pictures, always from the same noise."""
    family = base.family
    side = family.resolution
    images = base.pipeline(
        **family.sampling_arguments(prompts, ""),
        height=side,
        width=side,
        num_inference_steps=_SAMPLING_STEPS,
        guidance_scale=1.0,
        generator=[torch_generator(index, "kept effect") for index in range(len(prompts))],
    ).images
    mean, _ = family.encode_images(images)
    return mean.cpu()
