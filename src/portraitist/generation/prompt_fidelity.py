"""Does a prompt describe a picture? Asked of the base itself, by its denoising loss; no encoder is needed.

The loss with the right prompt is lower than with none or with others, on the same noise (the diffusion classifier of
arXiv 2303.16203). Losses vary far more between draws of noise than between prompts, so differences are taken draw by
draw, and come with their standard error.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from portraitist.bases import Base
from portraitist.generation.latents import encode_conditions, encode_image, predict, repeat_conditions
from portraitist.progress import track
from portraitist.randomness import torch_generator

# Prompts of very different pictures: one of them describing the picture better than its own prompt is a bad sign.
CONTRASTS = (
    "a photo of a person",
    "a photo of a cat",
    "a photo of a robot",
    "a photo of a landscape",
    "a drawing",
)
DEFAULT_DRAWS = 32
_BATCH = 8
# Standard errors by which a prompt must beat another.
_TELLABLE = 2.0


@dataclass(frozen=True)
class Advantage:
    """By how much a prompt's denoising loss is lower than another's.

    Attributes:
        other: The other prompt; the empty one is no prompt.
        mean: Mean difference over the draws, in squared error; above 0 where the prompt describes the picture better.
        error: Its standard error.
    """

    other: str
    mean: float
    error: float

    @property
    def is_clear(self) -> bool:
        """Say whether the prompt is better than chance can explain."""
        return self.mean > _TELLABLE * self.error

    @property
    def is_reversed(self) -> bool:
        """Say whether the other is."""
        return -self.mean > _TELLABLE * self.error


@torch.no_grad()
def denoising_losses(
    base: Base, picture: Image.Image, prompts: Sequence[str], draws: int = DEFAULT_DRAWS, seed: int = 0
) -> Tensor:
    """Return the squared error of the denoiser on a picture, ``[prompts, draws]``; draws are shared by all prompts."""
    family, latents = base.family, encode_image(base, picture).cpu()
    generator = torch_generator(seed, "prompt fidelity")
    noise = torch.randn((draws, *latents.shape[1:]), generator=generator)
    timesteps = family.draw_timesteps(draws, generator)
    rows = latents.expand_as(noise)
    noised, wanted = family.add_noise(rows, noise, timesteps), family.target(rows, noise, timesteps)
    losses = []
    with track(len(prompts), "reading the picture") as progress:
        for prompt in prompts:
            conditions = encode_conditions(base, [prompt], latents)
            parts = []
            for start in range(0, draws, _BATCH):
                some = slice(start, start + _BATCH)
                repeated = repeat_conditions(conditions, len(timesteps[some]))
                found = predict(base, noised[some], timesteps[some], repeated).cpu()
                parts.append((found - wanted[some]).square().mean((1, 2, 3)))
            losses.append(torch.cat(parts))
            progress.advance()
    return torch.stack(losses)


def compare_prompts(
    base: Base,
    picture: Image.Image,
    prompt: str,
    others: Sequence[str],
    draws: int = DEFAULT_DRAWS,
    seed: int = 0,
) -> list[Advantage]:
    """Compare a prompt with others as descriptions of a picture, by the base without adapters.

    Args:
        base: The base model.
        picture: The picture, at the base's resolution.
        prompt: What is said to describe it.
        others: Other prompts; the empty one stands for none.
        draws: Draws of noise and timestep.
        seed: Seed of the draws.
    """
    losses = denoising_losses(base, picture, [prompt, *others], draws, seed).double()
    differences = losses[1:] - losses[0]
    means, errors = differences.mean(1), differences.std(1) / draws**0.5
    return [
        Advantage(other, float(mean), float(error)) for other, mean, error in zip(others, means, errors, strict=True)
    ]


def source_warnings(
    base: Base, picture: Image.Image, source: str, target: str, draws: int = DEFAULT_DRAWS, seed: int = 0
) -> list[str]:
    """Say why a source prompt does not seem to describe a picture; nothing if it does."""
    others = [other for other in CONTRASTS if other != source]
    nothing, wanted, *rest = compare_prompts(base, picture, source, ["", target, *others], draws, seed)
    found = []
    if not nothing.is_clear:
        found.append(
            f"to {base.name}, the source prompt {source!r} describes the picture no better than no prompt (denoising"
            f" loss lower by {nothing.mean:.2g} ± {nothing.error:.1g}); describe what is to be seen"
        )
    if wanted.is_reversed:
        found.append(
            f"the target prompt {target!r} describes the picture better than the source prompt does; were they swapped?"
        )
    better = [other for other in rest if other.is_reversed]
    if better:
        best = min(better, key=lambda other: other.mean)
        found.append(f"{best.other!r} describes the picture better than the source prompt {source!r} does")
    return found
