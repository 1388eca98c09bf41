"""Target adapters: those that a network shall learn to predict, optimised in banks.

All start from the same values and see the same noise at the same timesteps, whatever bank they are in, so that two
targets differ by their photos alone; the paper says nothing about either, and the factors of a change mean something
only up to a common scale (HyperDreamBooth, arXiv 2307.06949, section 4.2). Of a LoRA the random factor A can stay as
it started: then the other one alone says the change, and nothing in a target can be said in two ways. It can also be
learnt before: several identities share one A that all of their gradients move, each has a B of its own, and what A has
become is where all targets start and what none of them changes (ours).
"""

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from portraitist.adapters import Adapter, Attachment
from portraitist.adapters.banks import save_bank, stack, unstack
from portraitist.bases import Base
from portraitist.bases.families import Framing
from portraitist.bases.precision import quick_float32
from portraitist.errors import BadConfig, TrainingDiverged
from portraitist.evaluation.encoders import Encoder, load_encoder
from portraitist.hypernetworks.likeness import served_likeness
from portraitist.randomness import epoch_order, torch_generator
from portraitist.training.blank_adapters import blank_adapter
from portraitist.training.denoising import (
    adapter_groups,
    draw_noise,
    loss_weights,
    predict_noised,
    run_identity,
    trains_text,
)
from portraitist.training.fitting import loop_config
from portraitist.training.inputs.conditions import PromptBook
from portraitist.training.inputs.latents import Latents
from portraitist.training.loop.loop import Loop, ParameterGroup
from portraitist.training.loop.processes import Processes
from portraitist.training.recipes import Recipe, load_recipe

METHODS = ("lidb", "lora")
# The factor A of a LoRA, which is random at the start.
FACTOR_A = "down"
# Noised photos of each identity, at least, by which its adapter is judged before and after.
_JUDGED = 24
# Of the picture that is drawn with each: it only shows what has gone wrong.
_SAMPLING_STEPS = 12


@dataclass(frozen=True)
class BankWork:
    """A bank to be trained, as plain values that go over a wire.

    Attributes:
        number: The bank's number in its set.
        base: Name of the base, and how it is held:
        fingerprint: its fingerprint,
        precision: its precision, e.g. ``float32``,
        resolution: the side of its pictures,
        device: and where it is put.
        recipe: The recipe, as plain values.
        token: The rare word that means each identity.
        keys: The identities' names.
        class_nouns: What kind of thing each is.
        prompts: What the base is asked for each when it is looked at afterwards.
        latents: Of the photos of each, with the prompts that they are learnt by.
        frozen_a: Whether the factor A of LoRAs stays as it started,
        factor: and what it starts as, by layer, ``[rank, inputs]``; empty where it is random.
        encoder: Name of the encoder by which they are looked at; None looks at nothing.
        features: Of the photos of each, by that encoder, ``[photos, d]``.
    """

    number: int
    base: str
    fingerprint: str
    precision: str
    resolution: int
    device: str
    recipe: Mapping[str, Any]
    token: str
    keys: tuple[str, ...]
    class_nouns: tuple[str, ...]
    prompts: tuple[str, ...]
    latents: tuple[Latents, ...]
    frozen_a: bool = False
    factor: Mapping[str, Tensor] = field(default_factory=dict)
    encoder: str | None = None
    features: tuple[Tensor, ...] = ()


def check_method(method: str, frozen_a: bool = False) -> None:
    """Refuse a method that targets cannot be of.

    Args:
        method: Its name.
        frozen_a: Whether the factor A of LoRAs shall be the same in all.

    Raises:
        BadConfig: Naming those they can be of.
    """
    if method not in METHODS:
        raise BadConfig(f"targets can be {' or '.join(METHODS)}, or none, not {method!r}")
    if frozen_a and method != "lora":
        raise BadConfig(f"--frozen-a, --learned-a and --a-of are about the factor A of LoRAs; {method} has none")


def target_recipe(base: Base, method: str, steps: int | None, settings: Mapping[str, Any], seed: int) -> Recipe:
    """Return a base's recipe for a method without what only single adapters have: a prior, mirror images, watching.

    Raises:
        BadConfig: If targets cannot be of this method, or a setting is wrong.
    """
    check_method(method)
    steps_given = {} if steps is None else {"steps": steps}
    recipe = load_recipe(method, base.name, base.family.name, None, {"seed": seed, **settings, **steps_given})
    recipe.refuse(("dropout.branch", "dropout.layers"), "is for adapters that are trained alone")
    return recipe.replace({"prior": "none", "mirror": False, "watch": {"every": 0}})


class TargetTask:
    """Fit every adapter of a bank to the photos of one identity, without prior preservation.

    Args:
        base: The base, with the bank attached.
        bank: The bank.
        recipe: How it is trained; ``batch_size`` photos of each identity a step.
        latents: Of each identity's photos, with a prompt each.
        frozen_a: Leave the factor A of LoRAs as it is.
    """

    def __init__(
        self, base: Base, bank: Adapter, recipe: Recipe, latents: Sequence[Latents], frozen_a: bool = False
    ) -> None:
        self.base, self.bank, self.recipe, self.latents = base, bank, recipe, latents
        self.frozen_a = frozen_a
        if frozen_a:
            for params in bank.values.values():
                params[FACTOR_A].requires_grad_(False)
        self.prompts = PromptBook(base, fixed=not trains_text(base, bank), adapters=len(latents))

    @property
    def bank_size(self) -> int | None:
        """Return how many adapters there are."""
        return len(self.latents)

    def groups(self) -> Sequence[ParameterGroup]:
        """Return the bank's trained parameters, in groups of one learning rate each."""
        groups = adapter_groups(self.base, self.bank, self.recipe)
        return [
            replace(group, parameters={name: each for name, each in group.parameters.items() if each.requires_grad})
            for group in groups
        ]

    def identity(self) -> dict[str, Any]:
        """Return the base, the photos and the recipe."""
        photos = [each.digest() for each in self.latents]
        shared = run_identity(self.base, self.bank, Processes.current())
        return {
            "task": "targets",
            **shared,
            "photos": photos,
            "recipe": self.recipe.model_dump(),
            "frozen_a": self.frozen_a,
        }

    def after_step(self) -> None:
        """Nothing to restore."""

    def step(self, step: int, micro_step: int) -> Mapping[str, Tensor]:
        """Denoise a few photos of each identity; return every adapter's loss ``[N]``."""
        recipe, size = self.recipe, self.recipe.batch_size
        index = step * recipe.accumulate + micro_step
        chosen = [epoch_order(len(each), recipe.seed, "photos", index * size, size) for each in self.latents]
        return {"loss": self._errors(chosen, torch_generator(recipe.seed, "noise", index))}

    @torch.no_grad()
    def judge(self) -> Tensor:
        """Return every adapter's mean error on its identity's photos, ``[N]``, at noise that is always the same."""
        size = self.recipe.batch_size
        parts = []
        for start in range(0, _JUDGED, size):
            chosen = [np.arange(start, start + size) % len(each) for each in self.latents]
            parts.append(self._errors(chosen, torch_generator(self.recipe.seed, "judging", start)))
        return torch.stack(parts).mean(0).cpu()

    def _errors(self, chosen: Sequence[np.ndarray], draws: torch.Generator) -> Tensor:
        """Noise as many photos of every identity in the same way, predict, and return their mean errors ``[N]``."""
        means = torch.stack([each.mean[rows] for each, rows in zip(self.latents, chosen, strict=True)])
        spread = torch.stack([each.deviation[rows] for each, rows in zip(self.latents, chosen, strict=True)])
        latents = means + spread * torch.randn(means.shape[1:], generator=draws)
        noise, timesteps = draw_noise(self.base, self.recipe, latents[0], draws)
        count, photos = latents.shape[:2]
        latents, noise, timesteps = latents.flatten(0, 1), noise.repeat(count, 1, 1, 1), timesteps.repeat(count)
        framings: list[Framing] = []
        prompts: list[str] = []
        for each, rows in zip(self.latents, chosen, strict=True):
            framings += [each.framings[row] for row in rows]
            prompts += [each.prompts[row] for row in rows]
        conditions = self.prompts.encode(prompts)
        prediction = predict_noised(self.base, latents, noise, timesteps, framings, conditions)
        target = self.base.family.target(latents, noise, timesteps).to(self.base.device)
        errors = (prediction - target).square().flatten(1).mean(1)
        return (errors * loss_weights(self.base, self.recipe, timesteps)).view(count, photos).mean(1)


def start_bank(base: Base, recipe: Recipe, count: int, factors: Mapping[str, Tensor]) -> Adapter:
    """Return a bank of blank adapters, whose factor A is as given where one is."""
    bank = stack([blank_adapter(base, recipe, recipe.method_config)] * count)
    for layer, factor in factors.items():
        with torch.no_grad():
            bank.values[layer][FACTOR_A].copy_(factor)
    return bank.to(base.device)


@lru_cache(maxsize=1)
def _encoder(name: str, device: str) -> Encoder:
    """Load the encoder of a process' banks, once."""
    return load_encoder(name, device)


def train_bank(work: BankWork, base: Base) -> bytes:
    """Train a bank of targets; return its file, whose index says of each adapter whose it is and how well it fits.

    Raises:
        BadConfig: If the base is another than the set's.
    """
    if base.fingerprint != work.fingerprint:
        raise BadConfig(
            f"base {work.base} has the fingerprint {base.fingerprint} here, not the set's {work.fingerprint}"
        )
    recipe = Recipe.model_validate(work.recipe)
    bank = start_bank(base, recipe, len(work.keys), work.factor)
    task = TargetTask(base, bank, recipe, work.latents, work.frozen_a)
    attachment = Attachment(base.components).attach(bank)
    began = time.perf_counter()
    try:
        before = task.judge()  # a blank adapter leaves the base as it is
        loop = Loop(task, loop_config(recipe, base), description=f"bank {work.number} of {len(work.keys)} targets")
        try:
            with quick_float32(base.device):
                dropped = set(loop.run().dropped)
        except TrainingDiverged:  # the last of them
            dropped = set(range(len(work.keys)))
        loop.keep()
        after = task.judge()
        likenesses: Sequence[float | None] = [None] * len(work.keys)
        if work.encoder is not None:
            judge = _encoder(work.encoder, str(base.device))
            likenesses = served_likeness(base, attachment, work.prompts, judge, work.features, steps=_SAMPLING_STEPS)
    finally:
        attachment.detach()
    seconds = (time.perf_counter() - began) / len(work.keys)
    adapters = unstack(bank.to("cpu"))
    for row, (adapter, key, noun) in enumerate(zip(adapters, work.keys, work.class_nouns, strict=True)):
        adapter.provenance.facts |= {
            "subject": {"name": key, "class": noun, "token": work.token},
            "trigger": f"{work.token} {noun}",
            "training": {
                "steps": loop.completed,
                "seconds": round(seconds, 2),
                "base_loss": float(before[row]),
                "loss": float(after[row]),
                "likeness": likenesses[row],
                "diverged": row in dropped,
            },
        }
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "bank.safetensors"
        save_bank(stack(adapters), file)
        return file.read_bytes()
