"""DiffLoRA as a whole: features of photos to latents to the numbers of a LoRA."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from portraitist.adapters import Adapter, LayerSpec, to_lora
from portraitist.adapters.provenance import Provenance
from portraitist.cache import content_key
from portraitist.hypernetworks.description import Description
from portraitist.hypernetworks.difflora.codecs import build_codec
from portraitist.hypernetworks.difflora.generator import LatentGenerator
from portraitist.hypernetworks.difflora.settings import DiffloraRecipe
from portraitist.hypernetworks.identities.identity_set import IdentitySet
from portraitist.hypernetworks.networks.contract import PhotoToAdapter, Predicted, Wish
from portraitist.hypernetworks.networks.memory import Features, Shapes
from portraitist.hypernetworks.weights.changes import cosines
from portraitist.hypernetworks.weights.layout import WeightLayout
from portraitist.hypernetworks.weights.statistics import Standard
from portraitist.hypernetworks.weights.vectors import WeightVectors
from portraitist.randomness import torch_generator

_COMMON = "common"


class WeightGenerator(PhotoToAdapter):
    """Draws LoRAs from photos; one seed draws the same for all photos' noise.

    Args:
        recipe: All settings, with those of the weights.
        shapes: What the features of a photo are.
        specs: The layers whose weights are drawn.
        size: Latent numbers, where there are fewer than the recipe would have.
    """

    def __init__(
        self, recipe: DiffloraRecipe, shapes: Shapes, specs: Sequence[LayerSpec], size: int | None = None
    ) -> None:
        super().__init__()
        rank = recipe.weights.rank
        assert rank is not None
        common: dict[str, Tensor] | None = None
        if recipe.weights.shared_a:
            common = {spec.name: torch.zeros(rank, spec.in_features) for spec in specs}
            for number, name in enumerate(sorted(common)):
                self.register_buffer(f"{_COMMON}{number}", common[name])
        self.layout = WeightLayout(specs, rank, common)
        self.standard = Standard(self.layout)
        self.codec = build_codec(recipe.autoencoder, self.layout, size)
        self.generator = LatentGenerator(recipe, shapes, self.codec.size)

    def share(self, common: Mapping[str, Tensor]) -> None:
        """Take the factor A of each layer that all LoRAs share."""
        assert self.layout.common is not None
        for name, value in common.items():
            self.layout.common[name].copy_(value)

    @property
    def draws(self) -> bool:
        """Say whether one photo has many LoRAs, from which a seed chooses."""
        return self.generator.process.draws

    @property
    def specs(self) -> Sequence[LayerSpec]:
        """Return the layers that its LoRAs change."""
        return list(self.layout.space.specs.values())

    @property
    def numbers(self) -> int:
        """Return how many numbers of a LoRA are drawn, P."""
        return self.layout.count

    def encode(self, vectors: Tensor) -> Tensor:
        """Return latents ``[n, size]`` of LoRAs ``[n, P]``."""
        return self.codec.encode(self.standard.standardise(vectors))

    def decode(self, latents: Tensor) -> Tensor:
        """Return LoRAs ``[n, P]`` of latents ``[n, size]``."""
        return self.standard.restore(self.codec.decode(latents))

    def targets(self, identities: IdentitySet, folder: Path) -> WeightVectors:
        """Return the LoRAs that identities have, a row each.

        Args:
            identities: All have targets.
            folder: Where LoRAs go that are too many for memory.

        Raises:
            BadConfig: If they are not of this network's kind.
        """
        table = [(piece.layer, piece.factor, piece.rank, piece.width) for piece in self.layout.pieces]
        keys = [entry.key for entry in identities]
        key = content_key(identities.settings.model_dump_json(), json.dumps([table, keys]))
        return WeightVectors.gather(
            self.layout,
            len(identities),
            lambda part: identities.targets(identities[part.start : part.stop]),
            folder / key,
        )

    def predict(self, features: Features, wish: Wish) -> Tensor:
        """Draw the numbers of a LoRA for each of n persons, ``[n, P]``."""
        count = len(next(iter(features.values())))
        latents = self.generator.make(features, self.noise(count, wish.seed), wish.sampling_steps, wish.guidance)
        with torch.no_grad():
            return self.decode(latents)

    @torch.no_grad()
    def between(self, first: Features, second: Features, share: float, wish: Wish) -> Tensor:
        """Draw a LoRA of what the photos of two persons say, mixed, from one noise; see `PhotoToAdapter.between`."""
        one, other = (self.generator.features(each) for each in (first, second))
        noise = self.noise(1, wish.seed)
        mixed = torch.lerp(one, other, share)
        return self.decode(self.generator.steered(mixed, noise, wish.sampling_steps, wish.guidance))

    def likeness(self, first: Tensor, second: Tensor, centre: Tensor | None = None) -> Tensor:
        """Return the cosines of the changes that LoRAs make, all layers together; see `PhotoToAdapter.likeness`."""
        return cosines(self.layout, first, second, centre)

    def noise(self, count: int, seed: int) -> Tensor:
        """Return the noise that a seed means, the same for each of n persons, ``[n, size]``."""
        drawn = torch.randn(self.codec.size, generator=torch_generator(seed, "latents"))
        return drawn.to(self.generator.mean.device).expand(count, -1)

    def adapter(self, numbers: Tensor, provenance: Provenance, rank: int | None = None) -> Predicted:
        """Return a drawn LoRA; cut to a rank by its singular values if one is given."""
        bank = self.layout.bank(numbers.detach().unsqueeze(0))
        values = {
            layer: {name: value[0].float().cpu() for name, value in params.items()}
            for layer, params in bank.values.items()
        }
        adapter = Adapter(self.layout.space, values, provenance)
        if rank is None or rank >= self.layout.rank:
            return Predicted(adapter)
        conversion = to_lora(adapter, rank)
        return Predicted(replace(conversion.adapter, provenance=provenance), min(conversion.energy.values()))


def build_generator(description: Description) -> WeightGenerator:
    """Build an untrained network as it is described."""
    recipe = description.recipe
    assert isinstance(recipe, DiffloraRecipe)
    specs = [layer.spec() for layer in description.layers]
    return WeightGenerator(recipe, description.shapes, specs, description.latent)
