"""Training a hypernetwork: what is predicted from some photos has to make another one (arXiv 2307.06949, eq. 4)."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor

from portraitist.bases import Base
from portraitist.errors import BadConfig
from portraitist.hypernetworks.material import Draw, Material
from portraitist.hypernetworks.networks.predictor import Predictor
from portraitist.hypernetworks.settings import HypernetworkRecipe
from portraitist.randomness import numpy_generator, torch_generator
from portraitist.training.inputs.conditions import PromptBook
from portraitist.training.loop.contracts import ParameterGroup
from portraitist.training.networks.machine import Machine
from portraitist.training.networks.parameters import group_parameters

# What stands at the network's edges, which Muon leaves to AdamW.
_EDGES = ("projections", "positions", "estimate", "heads", "changes")
_SPREAD = 8  # timesteps are drawn so many times over, to choose from


class HypernetworkTask:
    """Predict a bank, one adapter for each sample, and let it denoise; the base is left as found by `close`.

    Args:
        base: The frozen base.
        predictor: What is trained, on the base's device.
        material: Identities and features.
        recipe: How.
        machine: On what.

    Raises:
        BadConfig: If the weights' loss needs targets that the set has not.
    """

    def __init__(
        self, base: Base, predictor: Predictor, material: Material, recipe: HypernetworkRecipe, machine: Machine
    ) -> None:
        self.base, self.predictor, self.material, self.recipe = base, predictor, material, recipe
        self.token = material.identities.settings.token
        self.targets = _targets(material, predictor, recipe)
        denoiser: Any = base.family.denoiser
        self._processors = dict(getattr(denoiser, "attn_processors", {}))
        if self._processors and not machine.fuses_attention:
            denoiser.set_attn_processor(AttnProcessor())
        self.attachment = predictor.output.attach(base.components)
        self._trains_text = any(
            spec.name.partition(".")[0] in base.family.text_encoders for spec in predictor.output.specs
        )

    def close(self) -> None:
        """Take everything off the base."""
        self.attachment.detach()
        if self._processors:
            denoiser: Any = self.base.family.denoiser
            denoiser.set_attn_processor(self._processors)

    def groups(self) -> Sequence[ParameterGroup]:
        """Return the network's parameters, and the learned changes with their own rate."""
        settings = self.recipe.training
        named = dict(self.predictor.named_parameters())
        changes = {name: value for name, value in named.items() if name.startswith("output.")}
        own = {name: value for name, value in named.items() if name not in changes}
        groups = group_parameters(own, settings.learning_rate, settings.weight_decay, _EDGES)
        if changes:
            groups.append(ParameterGroup(changes, settings.changes_learning_rate or settings.learning_rate))
        return groups

    def identity(self) -> dict[str, Any]:
        """Return the recipe, save how long it goes on, the base, and on how many it is trained."""
        recipe = self.recipe.model_dump(mode="json")
        recipe["training"].pop("steps")
        recipe.pop("refinement")
        return {
            "task": "hyperdreambooth",
            "base": self.base.fingerprint,
            "identities": len(self.material.identities),
            **recipe,
        }

    def after_step(self) -> None:
        """Nothing to restore."""

    def step(self, step: int, micro_step: int) -> Mapping[str, Tensor]:
        """Predict adapters from photos, and compare what they make."""
        recipe, losses = self.recipe, self.recipe.losses
        seed, device = recipe.training.seed, self.base.device
        draws = self.material.draw(numpy_generator(seed, "identities", step), recipe.training.batch_size, losses)
        generator = torch_generator(seed, "noise", step)
        unknown = torch.rand(len(draws), generator=generator) < losses.unknown
        # In full precision: the numbers of an adapter are small beside what they are added to.
        with torch.autocast(device.type, enabled=False):
            features = self.material.features([draw.references for draw in draws])
            seen = {name: values.to(device) for name, values in features.items()}
            numbers = self.predictor(seen, unknown.to(device))
        found: dict[str, Tensor] = {}
        if losses.diffusion or losses.captions:
            self.predictor.output.feed(self.attachment, numbers)
            found |= self._denoise(draws, generator)
        if losses.weights:
            wanted = torch.stack([self.targets[draw.entry.key] for draw in draws]).to(device)
            errors = (numbers - wanted).square().mean(1)
            found["weights"] = (errors * ~unknown.to(device)).mean()
        if losses.numbers:
            found["numbers"] = numbers.square().mean()
        total = torch.stack([getattr(losses, name) * value for name, value in found.items()]).sum()
        return {"loss": total, **found}

    def _denoise(self, draws: Sequence[Draw], generator: torch.Generator) -> dict[str, Tensor]:
        """Return the mean weighted errors of the predicted noise in the photos that are to be made, by loss.

        Against the noise itself, and against what the base alone predicts when it is told the photo's caption. The
        second says the same of everything that the base has words for, without the noise that nobody can predict. A
        photo whose caption says no more than its prompt teaches nothing so.
        """
        family, losses, device = self.base.family, self.recipe.losses, self.base.device
        targets = self.material.identities.latents([draw.target for draw in draws])
        latents = targets.mean + targets.deviation * torch.randn(targets.mean.shape, generator=generator)
        noise = torch.randn(latents.shape, generator=generator)
        timesteps = self.draw_timesteps(len(draws), generator)
        prompts = (
            targets.prompts
            if losses.scenes
            else [losses.prompt.format(f"{self.token} {draw.entry.class_noun}") for draw in draws]
        )
        book = PromptBook(self.base, fixed=not self._trains_text, adapters=len(draws))
        conditions = {**book.encode(prompts), **family.encode_framings(targets.framings)}
        noised = family.add_noise(latents, noise, timesteps).to(device, family.dtype)
        steps = timesteps.to(device)
        prediction = family.predict(noised, steps, conditions).float()
        weights = torch.ones(len(draws), device=device)
        if losses.min_snr_gamma is not None:
            weights = family.min_snr_weights(timesteps, losses.min_snr_gamma).to(device)
        wanted: dict[str, tuple[Tensor, Tensor]] = {}  # by loss, and how much each photo's counts
        if losses.diffusion:
            wanted["diffusion"] = family.target(latents, noise, timesteps).to(device), weights
        if losses.captions:
            captions = self._captions(draws)
            with torch.no_grad(), self.attachment.disabled():
                told = {**family.encode_prompts(captions), **family.encode_framings(targets.framings)}
                better = family.predict(noised, steps, told).float()
            differ = [caption != prompt for caption, prompt in zip(captions, prompts, strict=True)]
            wanted["captions"] = better, weights * torch.tensor(differ, device=device)
        return {
            name: ((prediction - each).square().flatten(1).mean(1) * counts).mean()
            for name, (each, counts) in wanted.items()
        }

    def _captions(self, draws: Sequence[Draw]) -> list[str]:
        """Return what is to be seen in the photos that are to be made; where no more is known, the prompt."""
        return [draw.entry.photos[draw.target - draw.entry.first].caption for draw in draws]

    def draw_timesteps(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw timesteps in a part of the noise schedule, ``[count]``: one from each of as many equal shares of it.

        The family draws many as it always does; of these, in their order, those between two shares are taken.
        """
        low, high = self.recipe.losses.noise
        many = self.base.family.draw_timesteps(count * _SPREAD, generator).sort().values
        places = (torch.randperm(count, generator=generator) + torch.rand(count, generator=generator)) / count
        return many[((low + (high - low) * places) * len(many)).long().clamp(max=len(many) - 1)]


def _targets(material: Material, predictor: Predictor, recipe: HypernetworkRecipe) -> dict[str, Tensor]:
    """Return the numbers of the identities' target adapters by name, where the loss needs them."""
    if not recipe.losses.weights:
        return {}
    identities = material.identities
    lacking = [entry.key for entry in identities if entry.target is None]
    if lacking:
        raise BadConfig(
            f"{lacking[0]} in {identities.folder} has no target adapter, which the loss on weights needs; make the set"
            " with targets, or leave it out with --set losses.weights=0"
        )
    space, found = predictor.output.weights, {}
    for entry in identities:
        bank = identities.targets([entry])
        if bank.space != space or recipe.output.token:
            raise BadConfig(
                f"the targets of {identities.folder} are {bank.method.name} {bank.config}, what is predicted is"
                f" {space.method.name} {space.config}; they must be the same, on the same layers, without a token"
            )
        found[entry.key] = space.flatten(bank.values)[0].detach()
    return found
