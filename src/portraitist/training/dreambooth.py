"""DreamBooth: teach a rare token the subject on a few photos, holding on to the class by prior preservation.

``L = E||eps - eps(z_t, c)||^2 + lambda E||eps - eps(z'_t, c')||^2`` (arXiv 2208.12242 with noise prediction); photos
and class images share one forward pass.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor, nn

from portraitist.adapters import Adapter, Kind
from portraitist.bases import Base
from portraitist.bases.families import Conditions, Framing
from portraitist.randomness import epoch_order, torch_generator
from portraitist.training.loop import ParameterGroup
from portraitist.training.recipes import Recipe


@dataclass(frozen=True)
class Latents:
    """Encoded pictures: posterior means and standard deviations, ``[n, c, h, w]`` in float32, and their framings."""

    mean: Tensor
    deviation: Tensor
    framings: tuple[Framing, ...]

    def draw(self, indices: np.ndarray, generator: torch.Generator) -> Tensor:
        """Sample the latents of some pictures."""
        chosen = torch.from_numpy(indices)
        mean, deviation = self.mean[chosen], self.deviation[chosen]
        return mean + deviation * torch.randn(mean.shape, generator=generator)

    def __len__(self) -> int:
        return len(self.mean)


def encode(
    base: Base, images: Sequence[Image.Image], mirror: bool = False, framings: Sequence[Framing] = ()
) -> Latents:
    """Encode pictures once.

    Args:
        base: The base.
        images: The pictures.
        mirror: Encode their mirror images too.
        framings: How each was cut from its photo, the same seen from both sides; whole pictures when empty.
    """
    everything = [*images, *(ImageOps.mirror(image) for image in images)] if mirror else list(images)
    framings = framings or [Framing.whole(image.height, image.width) for image in images]
    means, deviations = [], []
    for image in everything:
        pixels = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)[None].float() / 127.5 - 1
        mean, deviation = base.family.encode_pictures(pixels)
        means.append(mean.cpu())
        deviations.append(deviation.cpu())
    return Latents(torch.cat(means), torch.cat(deviations), tuple(framings) * (len(everything) // len(images)))


def parameter_groups(base: Base, adapter: Adapter, recipe: Recipe) -> list[ParameterGroup]:
    """Return an adapter's parameters, in groups of one learning rate each."""
    by_rate: dict[float, dict[str, nn.Parameter]] = {}
    for layer, tensors in adapter.parameters.items():
        rate = recipe.learning_rate
        if layer.partition(".")[0] in base.family.text_encoders:
            rate = recipe.text_learning_rate or rate
        if adapter.layers[layer].spec.kind is Kind.NORM:
            rate = recipe.norm_learning_rate or rate
        for key, parameter in tensors.items():
            assert isinstance(parameter, nn.Parameter)
            by_rate.setdefault(rate, {})[f"{layer}.{key}"] = parameter
    return [ParameterGroup(parameters, rate, recipe.weight_decay) for rate, parameters in by_rate.items()]


def denoising_errors(
    base: Base,
    recipe: Recipe,
    latents: Tensor,
    framings: Sequence[Framing],
    conditions: Conditions,
    draws: torch.Generator,
) -> Tensor:
    """Noise latents, predict, and return each sample's weighted squared error, ``[n]``.

    Args:
        base: The base, with the adapter attached.
        recipe: Whose loss weighting is used.
        latents: Clean latents ``[n, c, h, w]`` on the CPU.
        framings: How each picture was cut.
        conditions: Of the prompts, one row a sample.
        draws: Where noise and timesteps come from.
    """
    family = base.family
    noise = torch.randn(latents.shape, generator=draws)
    timesteps = family.draw_timesteps(len(latents), draws, (latents.shape[-2], latents.shape[-1]))
    noised = family.add_noise(latents, noise, timesteps)
    device, dtype = base.device, next(family.denoiser.parameters()).dtype
    conditions = {**conditions, **family.encode_framings(framings)}
    prediction = family.predict(noised.to(device, dtype), timesteps.to(device), conditions)
    target = family.target(latents, noise, timesteps).to(device)
    errors = (prediction.float() - target).square().mean(dim=tuple(range(1, target.ndim)))
    if recipe.min_snr_gamma is None:
        return errors
    return errors * family.min_snr_weights(timesteps, recipe.min_snr_gamma).to(device)


class DreamBoothTask:
    """Fine-tune an adapter on a subject's photos. The adapter must be attached to the base already."""

    def __init__(
        self,
        base: Base,
        adapter: Adapter,
        recipe: Recipe,
        prompt: str,
        photos: Latents,
        class_prompt: str = "",
        prior: Latents | None = None,
    ) -> None:
        self.base, self.adapter, self.recipe = base, adapter, recipe
        self.prompt, self.class_prompt = prompt, class_prompt
        self.photos, self.prior = photos, prior
        self.trains_text = any(name in base.family.text_encoders for name in adapter.components())
        self._cached: Conditions | None = None

    def groups(self) -> Sequence[ParameterGroup]:
        """Return the adapter's parameters, in groups of one learning rate each."""
        return parameter_groups(self.base, self.adapter, self.recipe)

    def identity(self) -> dict[str, Any]:
        """Return the recipe, the prompts and how many pictures there are."""
        return {
            "task": "dreambooth",
            "base": self.base.fingerprint,
            "prompt": self.prompt,
            "photos": len(self.photos),
            "content": float(self.photos.mean.double().sum()),
            "recipe": self.recipe.model_dump(mode="json"),
        }

    def after_step(self) -> None:
        """Nothing to restore."""

    def step(self, step: int, micro_step: int) -> Mapping[str, Tensor]:
        """Denoise photos, and class images when the prior is preserved."""
        recipe = self.recipe
        size, index = recipe.batch_size, step * recipe.accumulate + micro_step
        draws = torch_generator(recipe.seed, "noise", index)
        chosen = epoch_order(len(self.photos), recipe.seed, "photos", index * size, size)
        latents = self.photos.draw(chosen, draws)
        framings = [self.photos.framings[position] for position in chosen]
        if self.prior is not None:
            chosen = epoch_order(len(self.prior), recipe.seed, "prior", index * size, size)
            latents = torch.cat([latents, self.prior.draw(chosen, draws)])
            framings += [self.prior.framings[position] for position in chosen]
        errors = denoising_errors(self.base, recipe, latents, framings, self._conditions(), draws)
        subject = errors[:size].mean()
        if self.prior is None:
            return {"loss": subject}
        prior = errors[size:].mean()
        return {"loss": subject + recipe.prior_weight * prior, "subject": subject, "prior": prior}

    def _conditions(self) -> Conditions:
        """Return the prompts' conditions for a batch; computed once unless the text encoder is trained."""
        if self._cached is not None:
            return self._cached
        prompts = [self.prompt] if self.prior is None else [self.prompt, self.class_prompt]
        with torch.set_grad_enabled(self.trains_text):
            conditions = self.base.family.encode_prompts(prompts)
        size = self.recipe.batch_size
        repeated = {name: value.repeat_interleave(size, dim=0) for name, value in conditions.items()}
        if not self.trains_text:
            self._cached = repeated
        return repeated
