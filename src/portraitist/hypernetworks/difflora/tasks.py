"""The two trainings of DiffLoRA: an autoencoder of weights, then what makes its latents from photos."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from portraitist.hypernetworks.difflora.losses import reconstruction_losses
from portraitist.hypernetworks.difflora.predictor import WeightGenerator
from portraitist.hypernetworks.difflora.settings import DiffloraRecipe
from portraitist.hypernetworks.material import Material
from portraitist.hypernetworks.weights.vectors import WeightVectors
from portraitist.randomness import epoch_order, numpy_generator, torch_generator
from portraitist.training.loop.contracts import ParameterGroup
from portraitist.training.networks.parameters import parameter_groups

# What stands at the networks' edges, which Muon leaves to AdamW.
_EDGES = ("read", "write", "places", "queries", "wanted", "latent_places", "positions", "projections", "nobody", "time")


class AutoencoderTask:
    """Restore LoRAs from their latents.

    Args:
        network: The whole network; its codec is trained.
        vectors: The training LoRAs.
        recipe: How.
        identity: What two runs must share for one to resume the other.
    """

    def __init__(
        self, network: WeightGenerator, vectors: WeightVectors, recipe: DiffloraRecipe, identity: Mapping[str, Any]
    ) -> None:
        assert recipe.autoencoder_training is not None
        self.network, self.vectors, self.recipe, self._identity = network, vectors, recipe, identity
        self.training = recipe.autoencoder_training

    def groups(self) -> Sequence[ParameterGroup]:
        """Return the codec's parameters."""
        return parameter_groups(self.network.codec, self.training.learning_rate, self.training.weight_decay, _EDGES)

    def identity(self) -> dict[str, Any]:
        """Return the settings, the base and the LoRAs."""
        settings = self.recipe.autoencoder.model_dump(mode="json")
        training = self.training.model_dump(mode="json", exclude={"steps"})
        return {"task": "weight-autoencoder", **self._identity, "autoencoder": settings, "training": training}

    def after_step(self) -> None:
        """Nothing to restore."""

    def step(self, step: int, micro_step: int) -> Mapping[str, Tensor]:
        """Squeeze a few LoRAs, restore them, and compare."""
        training, settings, network = self.training, self.recipe.autoencoder, self.network
        chosen = epoch_order(len(self.vectors), training.seed, "loras", step * training.batch_size, training.batch_size)
        standard = network.standard.standardise(self.vectors[chosen].to(network.standard.mean))
        latents = network.codec.encode(standard)
        if noise := getattr(settings, "latent_noise", 0.0):
            drawn = torch.randn(latents.shape, generator=torch_generator(training.seed, "latent noise", step))
            latents = latents + noise * latents.detach().std() * drawn.to(latents)
        restored = network.codec.decode(latents)
        return reconstruction_losses(settings, network.layout, network.standard, restored, standard)


class GeneratorTask:
    """Make the latents of LoRAs from photos: of each LoRA one that is drawn among its identity's.

    Args:
        network: The whole network; its generator is trained.
        latents: Of the training LoRAs ``[N, size]``.
        material: Their identities, in the same order, with features.
        recipe: How.
        identity: What two runs must share for one to resume the other.
    """

    def __init__(
        self,
        network: WeightGenerator,
        latents: Tensor,
        material: Material,
        recipe: DiffloraRecipe,
        identity: Mapping[str, Any],
    ) -> None:
        self.network, self.latents, self.material = network, latents, material
        self.recipe, self._identity = recipe, identity

    def groups(self) -> Sequence[ParameterGroup]:
        """Return the generator's parameters."""
        settings = self.recipe.generator_training
        return parameter_groups(self.network.generator, settings.learning_rate, settings.weight_decay, _EDGES)

    def identity(self) -> dict[str, Any]:
        """Return the settings, the base and the LoRAs."""
        recipe = self.recipe.model_dump(mode="json", exclude={"refinement", "autoencoder_training"})
        recipe["generator_training"].pop("steps")
        return {"task": "difflora", **self._identity, **recipe}

    def after_step(self) -> None:
        """Nothing to restore."""

    def step(self, step: int, micro_step: int) -> Mapping[str, Tensor]:
        """Make latents of a few identities from a photo of each."""
        training, identities = self.recipe.generator_training, self.material.identities
        size = training.batch_size
        chosen = epoch_order(len(identities), training.seed, "identities", step * size, size)
        rng = numpy_generator(training.seed, "photos", step)
        photos = [[int(rng.choice(identities[int(who)].different))] for who in chosen]
        draws = torch_generator(training.seed, "noise", step)
        unknown = torch.rand(size, generator=draws) < self.recipe.features.unknown
        latents = self.latents[torch.from_numpy(np.ascontiguousarray(chosen))]
        features = {name: values.to(latents.device) for name, values in self.material.features(photos).items()}
        errors = self.network.generator.errors(latents, features, unknown.to(latents.device), draws)
        return {"loss": errors.mean()}
