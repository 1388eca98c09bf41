"""The task of several subjects: what a training step shows of them, alone and in collages, and its losses."""

from collections import OrderedDict
from collections.abc import Hashable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import permutations
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from portraitist.adapters import Adapter, Attachment
from portraitist.bases import Base
from portraitist.randomness import numpy_generator, torch_generator
from portraitist.training.denoising import adapter_groups, denoising_errors, run_identity, trains_text
from portraitist.training.inputs.conditions import PromptBook
from portraitist.training.inputs.latents import Latents, encode
from portraitist.training.inputs.priors import prior_counts, prior_images
from portraitist.training.loop.contracts import ParameterGroup
from portraitist.training.loop.processes import Processes
from portraitist.training.multi_subject.cut_mix import (
    WORDINGS,
    Sample,
    Wording,
    collage,
    draw_sample,
    pair_prompt,
    prior_pair,
)
from portraitist.training.multi_subject.unmix import MixedSample, UnmixLoss
from portraitist.training.recipes import Recipe
from portraitist.training.subjects import Subject
from portraitist.training.tokens import phrase_positions
from portraitist.training.watching.fixed_noise import FIXED_NOISE, FixedNoiseLoss
from portraitist.training.watching.judging import Awake

# Collages whose latents are kept; beyond, the oldest are encoded again. 130 KB each at 512 x 512.
_KEPT_COLLAGES = 512


@dataclass(frozen=True)
class SubjectInputs:
    """What is known of one subject while it is taught.

    Attributes:
        subject: The subject.
        photos: Its photos, with their mirror images if the recipe wants them.
        latents: The same, encoded.
        prior: Images of its class; empty without a prior.
        prior_latents: The same, encoded.
    """

    subject: Subject
    photos: tuple[Image.Image, ...]
    latents: Latents
    prior: tuple[Image.Image, ...]
    prior_latents: Latents | None

    @property
    def name(self) -> str:
        """Return what prompts call it, e.g. ``sks cat``."""
        return f"{self.subject.token} {self.subject.class_noun}"


def gather(base: Base, subject: Subject, recipe: Recipe) -> SubjectInputs:
    """Encode a subject's photos, and generate and encode the images of its class."""
    mirrored = [ImageOps.mirror(photo) for photo in subject.photos] if recipe.mirror else []
    photos = (*subject.photos, *mirrored)
    latents = encode(base, subject.photos, recipe.mirror, subject.framings)
    if recipe.prior == "none":
        return SubjectInputs(subject, photos, latents, (), None)
    class_prompt = recipe.class_prompt.replace("{}", subject.class_noun)
    prior = prior_images(base, class_prompt, prior_counts(recipe)[0], recipe)
    return SubjectInputs(subject, photos, latents, tuple(prior), encode(base, prior))


def gather_unprompted(base: Base, recipe: Recipe) -> Latents | None:
    """Generate and encode the class images that have no prompt; None where the recipe has none."""
    unprompted = 0 if recipe.prior == "none" else prior_counts(recipe)[1]
    return encode(base, prior_images(base, "", unprompted, recipe)) if unprompted else None


class MultiSubjectTask:
    """Fine-tune an adapter on several subjects. The adapter must be attached to the base already.

    Args:
        base: The base.
        adapter: The adapter.
        recipe: How to train it.
        inputs: The subjects' photos and class images.
        unmix: The loss that keeps subjects in collages apart; None for none.
        awake: Brings the autoencoder back to the device for a while, to encode a collage.
        unprompted: Encoded images that the base made without a prompt, which count among every subject's class images.
    """

    def __init__(
        self,
        base: Base,
        adapter: Adapter,
        recipe: Recipe,
        inputs: Sequence[SubjectInputs],
        unmix: UnmixLoss | None = None,
        awake: Awake = nullcontext,
        unprompted: Latents | None = None,
    ) -> None:
        self.base, self.adapter, self.recipe = base, adapter, recipe
        self.inputs, self.unprompted, self.unmix, self.awake = tuple(inputs), unprompted, unmix, awake
        self.trains_text = trains_text(base, adapter)
        self.prompts = PromptBook(base, fixed=not self.trains_text, adapters=adapter.bank_size or 1)
        self.processes = Processes.current()
        subjects = [taught.subject for taught in inputs]
        self._words = {} if unmix is None else collage_words(base, recipe, subjects)
        self._collages: OrderedDict[Hashable, Latents] = OrderedDict()

    def attached(self, attachment: Attachment) -> None:
        """Encode every prompt, so that text encoders may be put away."""
        if self.trains_text:
            return
        numbers = range(len(self.inputs))
        who = [(number,) for number in numbers] + (list(permutations(numbers, 2)) if self.recipe.cut_mix else [])
        samples = [Sample(subjects, (), 0, wording) for subjects in who for wording in WORDINGS]
        prompts = {self.prompt(sample) for sample in samples}
        if self.recipe.prior != "none":
            prompts |= {self.class_prompt(sample) for sample in samples}
            prompts |= {""} if self.unprompted is not None else set()
        self.prompts.encode(sorted(prompts))

    def fixed_noise(self, samples: int) -> FixedNoiseLoss:
        """Return the loss on the photos of all subjects, each alone, on fixed noise."""
        own = [
            replace(taught.latents, prompts=(self.recipe.prompt.replace("{}", taught.name),) * len(taught.latents))
            for taught in self.inputs
        ]
        return FixedNoiseLoss(self.base, self.recipe, self.prompts, own, samples, FIXED_NOISE)

    def groups(self) -> Sequence[ParameterGroup]:
        """Return the adapter's parameters, in groups of one learning rate each."""
        return adapter_groups(self.base, self.adapter, self.recipe)

    def identity(self) -> dict[str, Any]:
        """Return the recipe, the subjects and their photos' content."""
        return {
            "task": "several subjects",
            **run_identity(self.base, self.adapter, self.processes),
            "subjects": [
                {
                    "name": taught.name,
                    "photos": len(taught.photos),
                    "content": taught.latents.digest(),
                    "class_images": None if taught.prior_latents is None else taught.prior_latents.digest(),
                }
                for taught in self.inputs
            ],
            "unprompted": None if self.unprompted is None else self.unprompted.digest(),
            "recipe": self.recipe.decisive(),
        }

    def after_step(self) -> None:
        """Nothing to restore."""

    def step(self, step: int, micro_step: int) -> Mapping[str, Tensor]:
        """Denoise photos and collages, and class images and their collages when the prior is preserved."""
        recipe = self.recipe
        size, index = recipe.batch_size * self.processes.count, step * recipe.accumulate + micro_step
        generator, rng = torch_generator(recipe.seed, "noise", index), numpy_generator(recipe.seed, "subjects", index)
        counts = [len(taught.photos) for taught in self.inputs]
        samples = [draw_sample(rng, counts, recipe.prior_images, recipe.cut_mix) for _ in range(size)]
        mine = samples[self.processes.rows(recipe.batch_size)]
        rows = torch.arange(size)[self.processes.rows(recipe.batch_size)]
        shown, prompts = [self.photo(sample) for sample in samples], [self.prompt(sample) for sample in mine]
        if recipe.prior != "none":
            shown += [self.class_image(sample) for sample in samples]
            prompts += [self.class_prompt(sample) for sample in mine]
            rows = torch.cat([rows, size + rows])
        latents = torch.cat([picture.draw(np.zeros(1, int), generator) for picture in shown])
        framings = [framing for row in rows for framing in shown[row].framings]
        conditions = self.prompts.encode(prompts)
        if self.unmix is None:
            errors = denoising_errors(self.base, recipe, latents, framings, conditions, generator, rows=rows)
            return self._losses(errors, None)
        with self.unmix.watch(self._mixed(mine)) as loss:
            errors = denoising_errors(self.base, recipe, latents, framings, conditions, generator, rows=rows)
        # The mean over the collages of all processes, of which this one may have more or less than its share.
        share = self.processes.count * len(self._mixed(mine)) / max(1, len(self._mixed(samples)))
        return self._losses(errors, share * loss())

    def photo(self, sample: Sample) -> Latents:
        """Return the encoded photo, or collage of two, of a sample."""
        if not sample.is_mixed:
            return _single(self.inputs[sample.subjects[0]].latents, sample.photos[0])
        numbers = zip(sample.subjects, sample.photos, strict=True)
        left, right = (self.inputs[subject].photos[number] for subject, number in numbers)
        return self._encode_collage(("photos", sample.subjects, sample.photos), left, right)

    def class_image(self, sample: Sample) -> Latents:
        """Return the encoded class image, collage of two, or image without a prompt that goes with a sample."""
        first = self.inputs[sample.subjects[0]]
        assert first.prior_latents is not None
        if self._is_unprompted(sample):
            assert self.unprompted is not None
            return _single(self.unprompted, sample.prior - len(first.prior))
        if not sample.is_mixed:
            return _single(first.prior_latents, sample.prior)
        numbers = prior_pair(sample.prior, len(first.prior))
        left, right = (self.inputs[subject].prior[n] for subject, n in zip(sample.subjects, numbers, strict=True))
        nouns = tuple(self.inputs[subject].subject.class_noun for subject in sample.subjects)
        return self._encode_collage(("prior", nouns, numbers), left, right)

    def prompt(self, sample: Sample) -> str:
        """Return the prompt of a sample."""
        return self._fill(self.recipe.prompt, [taught.name for taught in self.inputs], sample)

    def class_prompt(self, sample: Sample) -> str:
        """Return the prompt of the class image that goes with a sample; empty for one that was made without."""
        if self._is_unprompted(sample):
            return ""
        return self._fill(self.recipe.class_prompt, [taught.subject.class_noun for taught in self.inputs], sample)

    def _is_unprompted(self, sample: Sample) -> bool:
        """Say whether the class image of a sample is one without a prompt: those come last."""
        return self.unprompted is not None and sample.prior >= len(self.inputs[0].prior)

    def _fill(self, template: str, names: Sequence[str], sample: Sample) -> str:
        if not sample.is_mixed:
            return template.replace("{}", names[sample.subjects[0]])
        left, right = (names[subject] for subject in sample.subjects)
        return pair_prompt(template, left, right, sample.wording)

    def _encode_collage(self, key: Hashable, left: Image.Image, right: Image.Image) -> Latents:
        """Encode a collage; the latest are kept."""
        if key not in self._collages:
            picture = collage(left, right, self.recipe.cut_mix_fit)
            with self.awake(), torch.autocast(self.base.device.type, enabled=False):
                self._collages[key] = encode(self.base, [picture])
            while len(self._collages) > _KEPT_COLLAGES:
                self._collages.popitem(last=False)
        return self._collages[key]

    def _mixed(self, samples: Sequence[Sample]) -> list[MixedSample]:
        """Describe the collages among the samples."""
        return [
            MixedSample(row, self._words[sample.subjects, sample.wording])
            for row, sample in enumerate(samples)
            if sample.is_mixed
        ]

    def _losses(self, errors: Tensor, unmix: Tensor | None) -> dict[str, Tensor]:
        recipe, size = self.recipe, self.recipe.batch_size
        losses = {"subject": errors[:size].mean()}
        total = losses["subject"]
        if recipe.prior != "none":
            losses["prior"] = errors[size:].mean()
            total = total + recipe.prior_weight * losses["prior"]
        if unmix is not None:
            losses["unmix"] = unmix
            total = total + recipe.unmix_weight * unmix
        return {"loss": total, **losses}


def _single(latents: Latents, index: int) -> Latents:
    """Return one picture's latents."""
    rows = slice(index, index + 1)
    return Latents(latents.mean[rows], latents.deviation[rows], latents.framings[rows])


def collage_words(
    base: Base, recipe: Recipe, subjects: Sequence[Subject]
) -> dict[tuple[tuple[int, ...], Wording], tuple[tuple[int, ...], tuple[int, ...]]]:
    """Return where the words of the left and the right subject stand, by (subjects, wording) of a collage.

    Raises:
        BadConfig: If a prompt is too long for the tokenizer to hold them.
    """
    tokenizer = base.pipeline.tokenizer
    places: dict[tuple[tuple[int, ...], Wording], tuple[tuple[int, ...], tuple[int, ...]]] = {}
    for pair in permutations(range(len(subjects)), 2):
        names = [f"{subjects[number].token} {subjects[number].class_noun}" for number in pair]
        words = names if recipe.unmix_class else [subjects[number].token for number in pair]
        for wording in WORDINGS:
            prompt = pair_prompt(recipe.prompt, names[0], names[1], wording)
            left, right = (phrase_positions(tokenizer, prompt, word) for word in words)
            places[pair, wording] = (left, right)
    return places
