"""DreamBooth: teach a rare token the subject on a few photos, holding on to the class by prior preservation.

``L = E||eps - eps(z_t, c)||^2 + lambda E||eps - eps(z'_t, c')||^2`` (arXiv 2208.12242 with noise prediction); photos
and class images share one forward pass.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from portraitist.adapters import Adapter, Attachment, Kind
from portraitist.bases import Base
from portraitist.bases.families import Conditions, Framing
from portraitist.errors import BadConfig
from portraitist.randomness import epoch_order, torch_generator
from portraitist.training.inputs.cache import content_key
from portraitist.training.inputs.conditions import PromptBook
from portraitist.training.inputs.latents import Latents
from portraitist.training.loop.loop import ParameterGroup
from portraitist.training.loop.processes import Processes
from portraitist.training.recipes import Recipe
from portraitist.training.starting import start_identity


def parameter_groups(base: Base, adapter: Adapter, recipe: Recipe) -> list[ParameterGroup]:
    """Return an adapter's parameters, in groups of one learning rate each."""
    by_rate: dict[float, dict[str, nn.Parameter]] = {}
    for layer, tensors in adapter.values.items():
        rate = recipe.learning_rate
        if layer.partition(".")[0] in base.family.text_encoders:
            rate = recipe.text_learning_rate or rate
        if adapter.layers[layer].spec.kind is Kind.NORM:
            rate = recipe.norm_learning_rate or rate
        for key, parameter in tensors.items():
            assert isinstance(parameter, nn.Parameter)
            by_rate.setdefault(rate, {})[f"{layer}.{key}"] = parameter
    return [ParameterGroup(parameters, rate, recipe.weight_decay) for rate, parameters in by_rate.items()]


def base_identity(base: Base) -> dict[str, Any]:
    """Return the facts about a base that two runs must share for one to resume the other."""
    family = base.family
    side = {"resolution": family.resolution} if family.is_resized else {}
    return {"base": base.fingerprint, "base_precision": base.precision, "base_bits": base.bits, **side}


def denoising_errors(
    base: Base,
    recipe: Recipe,
    latents: Tensor,
    framings: Sequence[Framing],
    conditions: Conditions,
    draws: torch.Generator,
    *,
    rows: Tensor | None = None,
    weights: Tensor | None = None,
) -> Tensor:
    """Noise latents, predict, and return each sample's weighted squared error, ``[n]``.

    Args:
        base: The base, with the adapter attached.
        recipe: Whose loss weighting and noise offset are used.
        latents: Clean latents ``[n, c, h, w]`` on the CPU.
        framings: How each picture was cut, those of `rows`.
        conditions: Of the prompts, one row a sample, those of `rows`.
        draws: Where noise and timesteps come from.
        rows: Of the latents those that this process takes, after all have been noised; all when None.
        weights: How much each place counts, ``[n, 1, h, w]``; all the same when None.
    """
    family = base.family
    noise, timesteps = draw_noise(base, recipe, latents, draws)
    if rows is not None:
        latents, noise, timesteps = latents[rows], noise[rows], timesteps[rows]
        weights = None if weights is None else weights[rows]
    prediction = predict(base, latents, noise, timesteps, framings, conditions)
    errors = (prediction.float() - family.target(latents, noise, timesteps).to(base.device)).square()
    if weights is not None:
        errors = errors * weights.to(base.device)
    return errors.mean(dim=tuple(range(1, errors.ndim))) * loss_weights(base, recipe, timesteps)


def draw_noise(base: Base, recipe: Recipe, latents: Tensor, draws: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw noise and timesteps for latents.

    With a noise offset, a part of the noise is one number for a whole channel: without it a model never sees a
    picture's mean brightness disappear, so it cannot make very dark or bright ones (Guttenberg, "Diffusion with offset
    noise", 2023; as in diffusers' scripts).
    """
    noise = torch.randn(latents.shape, generator=draws)
    timesteps = base.family.draw_timesteps(len(latents), draws, (latents.shape[-2], latents.shape[-1]))
    if recipe.noise_offset:
        noise = noise + recipe.noise_offset * torch.randn(*latents.shape[:2], 1, 1, generator=draws)
    return noise, timesteps


def predict(
    base: Base, latents: Tensor, noise: Tensor, timesteps: Tensor, framings: Sequence[Framing], conditions: Conditions
) -> Tensor:
    """Noise latents and let the denoiser predict."""
    family = base.family
    noised = family.add_noise(latents, noise, timesteps)
    device, dtype = base.device, family.dtype
    conditions = {**conditions, **family.encode_framings(framings)}
    return family.predict(noised.to(device, dtype), timesteps.to(device), conditions)


def loss_weights(base: Base, recipe: Recipe, timesteps: Tensor) -> Tensor:
    """Return how much each sample's error counts, ``[n]``."""
    if recipe.min_snr_gamma is None:
        return torch.ones(len(timesteps), device=base.device)
    return base.family.min_snr_weights(timesteps, recipe.min_snr_gamma).to(base.device)


class DreamBoothTask:
    """Fine-tune an adapter on a subject's photos. The adapter must be attached to the base already.

    Args:
        base: The base.
        adapter: The adapter.
        recipe: How to train it.
        prompt: The prompt of photos that have none of their own.
        photos: Encoded photos; in buckets, one for each size, where they have several.
        class_prompt: The prompt of the prior.
        prior: Encoded class images; without them, a recipe whose prior is the base holds on to its predictions.
    """

    def __init__(
        self,
        base: Base,
        adapter: Adapter,
        recipe: Recipe,
        prompt: str,
        photos: Latents | Sequence[Latents],
        class_prompt: str = "",
        prior: Latents | None = None,
    ) -> None:
        self.base, self.adapter, self.recipe = base, adapter, recipe
        self.prompt, self.class_prompt = prompt, class_prompt
        self.photos = (photos,) if isinstance(photos, Latents) else tuple(photos)
        self.prior = prior
        self.trains_text = any(name in base.family.text_encoders for name in adapter.components())
        self.prompts = PromptBook(base, fixed=not self.trains_text, adapters=adapter.bank_size or 1)
        self.processes = Processes.current()
        self.attachment: Attachment | None = None
        self._frozen_class: Conditions | None = None

    def groups(self) -> Sequence[ParameterGroup]:
        """Return the adapter's parameters, in groups of one learning rate each."""
        return parameter_groups(self.base, self.adapter, self.recipe)

    def identity(self) -> dict[str, Any]:
        """Return the base, the prompts, the pictures with theirs and the recipe."""
        recipe = self.recipe.model_dump(mode="json")
        return {
            "task": "dreambooth",
            **base_identity(self.base),
            **start_identity(self.adapter),
            "processes": self.processes.count,
            "prompt": self.prompt,
            "class_prompt": self.class_prompt,
            "views": sum(map(len, self.photos)),
            "photos_captions_masks": content_key(*(bucket.digest() for bucket in self.photos)),
            "class_images": None if self.prior is None else self.prior.digest(),
            "recipe": {name: value for name, value in recipe.items() if name != "log"},
        }

    def attached(self, attachment: Attachment) -> None:
        """Remember how to switch the adapter off, and encode every prompt, so that text encoders may be put away."""
        self.attachment = attachment
        if self.trains_text:
            return
        prompts = {self.prompt, *(prompt for bucket in self.photos for prompt in bucket.prompts)}
        if self.recipe.prior != "none":
            prompts.add(self.class_prompt)
        self.prompts.encode(sorted(prompts))

    def after_step(self) -> None:
        """Nothing to restore."""

    def step(self, step: int, micro_step: int) -> Mapping[str, Tensor]:
        """Denoise photos, and hold on to the class where the prior is preserved."""
        recipe = self.recipe
        index = step * recipe.accumulate + micro_step
        size, total = recipe.batch_size, recipe.batch_size * self.processes.count
        mine = range(total)[self.processes.rows(size)]
        draws = torch_generator(recipe.seed, "noise", index)
        bucket, chosen = self._draw_photos(index, total)
        latents = bucket.draw(chosen, draws)
        weights = None if bucket.weights is None else bucket.weights[torch.from_numpy(chosen)]
        framings = [bucket.framings[chosen[row]] for row in mine]
        prompts = [bucket.prompts[chosen[row]] if bucket.prompts else self.prompt for row in mine]
        if self.prior is None:
            rows = torch.tensor(mine)
            conditions = self.prompts.encode(prompts)
            errors = denoising_errors(
                self.base, recipe, latents, framings, conditions, draws, rows=rows, weights=weights
            )
            losses = {"subject": errors.mean()}
            if recipe.prior == "base":
                losses["prior"] = self._distance_to_base(latents, rows, framings, index)
        else:
            losses = self._with_class_images(index, latents, framings, prompts, draws, weights)
        if "prior" not in losses:
            return {"loss": losses["subject"]}
        return {"loss": losses["subject"] + recipe.prior_weight * losses["prior"], **losses}

    def _draw_photos(self, index: int, total: int) -> tuple[Latents, np.ndarray]:
        """Return the bucket of a batch and which of its pictures are in it, each as often as any other."""
        seed = self.recipe.seed
        if len(self.photos) == 1:
            return self.photos[0], epoch_order(len(self.photos[0]), seed, "photos", index * total, total)
        owners = np.repeat(np.arange(len(self.photos)), [len(bucket) for bucket in self.photos])
        epoch = index // len(owners)
        order = owners[epoch_order(len(owners), seed, "buckets", epoch * len(owners), len(owners))]
        place = index % len(owners)
        which = int(order[place])
        bucket = self.photos[which]
        before = epoch * len(bucket) + int((order[:place] == which).sum())
        return bucket, epoch_order(len(bucket), seed, f"photos {which}", before * total, total)

    def _with_class_images(
        self,
        index: int,
        latents: Tensor,
        framings: list[Framing],
        prompts: list[str],
        draws: torch.Generator,
        weights: Tensor | None,
    ) -> dict[str, Tensor]:
        """Return the losses of photos and class images; in one forward pass where they are of one size."""
        assert self.prior is not None
        recipe, total = self.recipe, len(latents)
        mine = range(total)[self.processes.rows(recipe.batch_size)]
        chosen = epoch_order(len(self.prior), recipe.seed, "prior", index * total, total)
        class_latents = self.prior.draw(chosen, draws)
        class_framings = [self.prior.framings[chosen[row]] for row in mine]
        class_prompts = [self.class_prompt] * len(mine)
        rows = torch.tensor(mine)
        if class_latents.shape == latents.shape:
            if weights is not None:
                weights = torch.cat([weights, torch.ones_like(weights)])
            errors = denoising_errors(
                self.base,
                recipe,
                torch.cat([latents, class_latents]),
                framings + class_framings,
                self.prompts.encode(prompts + class_prompts),
                draws,
                rows=torch.cat([rows, total + rows]),
                weights=weights,
            )
            subject, prior = errors.split(len(rows))
        else:
            conditions, class_conditions = self.prompts.encode(prompts), self.prompts.encode(class_prompts)
            subject = denoising_errors(
                self.base, recipe, latents, framings, conditions, draws, rows=rows, weights=weights
            )
            prior = denoising_errors(
                self.base, recipe, class_latents, class_framings, class_conditions, draws, rows=rows
            )
        return {"subject": subject.mean(), "prior": prior.mean()}

    def _distance_to_base(self, latents: Tensor, rows: Tensor, framings: Sequence[Framing], index: int) -> Tensor:
        """Return how far predictions for the class prompt are from those with the adapter switched off.

        Prior preservation without class images: the photos themselves, noised, are what is denoised, and the frozen
        base's prediction takes the place of the noise. Our own arrangement of a known idea.
        """
        if self.attachment is None:
            raise BadConfig("a prior of the base itself needs the attachment, to switch the adapter off")
        base, draws = self.base, torch_generator(self.recipe.seed, "prior noise", index)
        noise, timesteps = (drawn[rows] for drawn in draw_noise(base, self.recipe, latents, draws))
        latents, prompts = latents[rows], [self.class_prompt] * len(rows)
        with torch.no_grad(), self.attachment.disabled():
            if self._frozen_class is None:
                book = PromptBook(base, fixed=True) if self.trains_text else self.prompts
                self._frozen_class = book.encode(prompts)
            wanted = predict(base, latents, noise, timesteps, framings, self._frozen_class)
        found = predict(base, latents, noise, timesteps, framings, self.prompts.encode(prompts))
        errors = (found.float() - wanted.float()).square().flatten(1).mean(1)
        return (errors * loss_weights(base, self.recipe, timesteps)).mean()
