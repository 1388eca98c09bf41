"""DreamBooth: teach a rare token the subject on a few photos, holding on to the class by prior preservation.

``L = E||eps - eps(z_t, c)||^2 + lambda E||eps - eps(z'_t, c')||^2`` (arXiv 2208.12242 with noise prediction); photos
and class images share one forward pass.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from portraitist.adapters import Adapter, Attachment
from portraitist.bases import Base
from portraitist.bases.families import Conditions, Framing
from portraitist.bases.transfers import sent
from portraitist.cache import content_key
from portraitist.errors import BadConfig
from portraitist.randomness import epoch_order, torch_generator
from portraitist.training.denoising import (
    adapter_groups,
    denoising_errors,
    draw_noise,
    loss_weights,
    predict_noised,
    run_identity,
    trains_text,
)
from portraitist.training.inputs.conditions import PromptBook
from portraitist.training.inputs.latents import Latents, near
from portraitist.training.loop.contracts import ParameterGroup
from portraitist.training.loop.processes import Processes
from portraitist.training.recipes import Recipe
from portraitist.training.watching.fixed_noise import FIXED_NOISE, FixedNoiseLoss


class DreamBoothTask:
    """Fine-tune an adapter on a subject's photos. The adapter must be attached to the base already.

    Args:
        base: The base.
        adapter: The adapter.
        recipe: How to train it.
        prompt: The prompt of photos that have none of their own.
        photos: Encoded photos; in buckets, one for each size, where they have several.
        class_prompt: The prompt of class images that have none of their own.
        prior: Encoded class images; without them, a recipe whose prior is the base holds on to its predictions.

    Attributes:
        prepare: Called with the photos' timesteps before the denoiser runs, where there are no class images.
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
        self.trains_text = trains_text(base, adapter)
        self.prompts = PromptBook(base, fixed=not self.trains_text, adapters=adapter.bank_size or 1)
        self.processes = Processes.current()
        self.attachment: Attachment | None = None
        self.prepare: Callable[[Tensor], None] | None = None
        self._frozen_class: Conditions | None = None

    def groups(self) -> Sequence[ParameterGroup]:
        """Return the adapter's parameters, in groups of one learning rate each."""
        return adapter_groups(self.base, self.adapter, self.recipe)

    def identity(self) -> dict[str, Any]:
        """Return the base, the prompts, the pictures with theirs and the recipe."""
        return {
            "task": "dreambooth",
            **run_identity(self.base, self.adapter, self.processes),
            "prompt": self.prompt,
            "class_prompt": self.class_prompt,
            "views": sum(map(len, self.photos)),
            "photos_captions_masks": content_key(*(bucket.digest() for bucket in self.photos)),
            "class_images": None if self.prior is None else self.prior.digest(),
            "recipe": self.recipe.decisive(),
        }

    def attached(self, attachment: Attachment) -> None:
        """Remember how to switch the adapter off; bring latents to the device; encode every prompt, for good."""
        self.attachment = attachment
        self.photos = tuple(near(self.photos, self.base.device))
        if self.prior is not None:
            (self.prior,) = near([self.prior], self.base.device)
        if self.trains_text:
            return
        prompts = {self.prompt, *(prompt for bucket in self.photos for prompt in bucket.prompts)}
        if self.recipe.prior != "none":
            prompts |= {self.class_prompt, *(self.prior.prompts if self.prior is not None else ())}
        self.prompts.encode(sorted(prompts))

    def fixed_noise(self, samples: int) -> FixedNoiseLoss:
        """Return the loss on the photos, without the prior, on fixed noise."""
        own = [replace(bucket, prompts=bucket.prompts or (self.prompt,) * len(bucket)) for bucket in self.photos]
        return FixedNoiseLoss(self.base, self.recipe, self.prompts, own, samples, FIXED_NOISE)

    def after_step(self) -> None:
        """Nothing to restore."""

    def step(self, step: int, micro_step: int) -> Mapping[str, Tensor]:
        """Denoise photos, and hold on to the class where the prior is preserved."""
        recipe = self.recipe
        index = step * recipe.accumulate + micro_step
        size, total = recipe.batch_size, recipe.batch_size * self.processes.count
        mine = range(total)[self.processes.rows(size)]
        generator = torch_generator(recipe.seed, "noise", index)
        bucket, indices = self._draw_photos(index, total)
        latents = bucket.draw(indices, generator)
        weights = bucket.chosen_weights(indices)
        framings = [bucket.framings[indices[row]] for row in mine]
        prompts = [bucket.prompts[indices[row]] if bucket.prompts else self.prompt for row in mine]
        if self.prior is None:
            rows = torch.tensor(mine)
            conditions = self.prompts.encode(prompts)
            errors = denoising_errors(
                self.base,
                recipe,
                latents,
                framings,
                conditions,
                generator,
                rows=rows,
                weights=weights,
                prepare=self.prepare,
            )
            losses = {"subject": errors.mean()}
            if recipe.prior == "base":
                losses["prior"] = self._distance_to_base(latents, rows, framings, index)
        else:
            losses = self._with_class_images(index, latents, framings, prompts, generator, weights)
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
        generator: torch.Generator,
        weights: Tensor | None,
    ) -> dict[str, Tensor]:
        """Return the losses of photos and class images; in one forward pass where they are of one size."""
        assert self.prior is not None
        recipe, total = self.recipe, len(latents)
        mine = range(total)[self.processes.rows(recipe.batch_size)]
        indices = epoch_order(len(self.prior), recipe.seed, "prior", index * total, total)
        class_latents = self.prior.draw(indices, generator)
        class_framings = [self.prior.framings[indices[row]] for row in mine]
        texts = self.prior.prompts
        class_prompts = [texts[indices[row]] if texts else self.class_prompt for row in mine]
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
                generator,
                rows=torch.cat([rows, total + rows]),
                weights=weights,
            )
            subject, prior = errors.split(len(rows))
        else:
            conditions, class_conditions = self.prompts.encode(prompts), self.prompts.encode(class_prompts)
            subject = denoising_errors(
                self.base, recipe, latents, framings, conditions, generator, rows=rows, weights=weights
            )
            prior = denoising_errors(
                self.base, recipe, class_latents, class_framings, class_conditions, generator, rows=rows
            )
        return {"subject": subject.mean(), "prior": prior.mean()}

    def _distance_to_base(self, latents: Tensor, rows: Tensor, framings: Sequence[Framing], index: int) -> Tensor:
        """Return how far predictions for the class prompt are from those with the adapter switched off.

        Prior preservation without class images: the photos themselves, noised, are what is denoised, and the frozen
        base's prediction takes the place of the noise. Our own arrangement of a known idea.
        """
        if self.attachment is None:
            raise BadConfig("prior=base compares with the adapter switched off; call attached() before the first step")
        base, generator = self.base, torch_generator(self.recipe.seed, "prior noise", index)
        noise, timesteps = (drawn[rows] for drawn in draw_noise(base, self.recipe, latents, generator))
        latents, prompts = latents[sent(rows, latents.device)], [self.class_prompt] * len(rows)
        with torch.no_grad(), self.attachment.disabled():
            if self._frozen_class is None:
                book = PromptBook(base, fixed=True) if self.trains_text else self.prompts
                self._frozen_class = book.encode(prompts)
            wanted = predict_noised(base, latents, noise, timesteps, framings, self._frozen_class)
        found = predict_noised(base, latents, noise, timesteps, framings, self.prompts.encode(prompts))
        errors = (found - wanted).square().flatten(1).mean(1)
        return (errors * loss_weights(base, self.recipe, timesteps)).mean()
