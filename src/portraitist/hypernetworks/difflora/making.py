"""Training DiffLoRA in its folder: features and weights, the autoencoder, then what makes latents from photos."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from portraitist.adapters import Adapter
from portraitist.adapters.layouts.lora import LoraConfig
from portraitist.errors import BadConfig
from portraitist.hypernetworks.description import Description
from portraitist.hypernetworks.difflora.predictor import WeightGenerator, build_generator
from portraitist.hypernetworks.difflora.settings import DiffloraRecipe
from portraitist.hypernetworks.difflora.tasks import AutoencoderTask, GeneratorTask
from portraitist.hypernetworks.identities.identity_set import IdentitySet
from portraitist.hypernetworks.material import Material
from portraitist.hypernetworks.saving import save_hypernetwork
from portraitist.hypernetworks.sight import Sight
from portraitist.hypernetworks.weights.changes import compare
from portraitist.hypernetworks.weights.layout import shared_factor
from portraitist.hypernetworks.weights.vectors import WeightVectors
from portraitist.hypernetworks.workshop import FEATURES, LORAS, STANDARD, AnyWorkshop
from portraitist.training.networks.reports import add_facts, read_report
from portraitist.training.networks.training import has_weights, train_network, trained_weights

METHOD = "difflora"
AUTOENCODER, GENERATOR = "autoencoder", "generator"
_AT_ONCE = 64  # LoRAs that are encoded together


@dataclass(frozen=True)
class WeightWorkshop(AnyWorkshop[DiffloraRecipe]):
    """The folder in which DiffLoRA is trained; see `AnyWorkshop`."""

    method: ClassVar[str] = METHOD
    stages: ClassVar[tuple[str, ...]] = (AUTOENCODER, GENERATOR)

    def _train(self) -> Description | None:
        return self._settled()._train_stages()

    def autoencoder(self) -> WeightGenerator:
        """Return the network with the autoencoder that was trained before, its generator untrained.

        Raises:
            BadConfig: If there is none.
        """
        workshop = self._settled()
        network, *_ = workshop._network(*workshop._seen())
        if network.codec.is_trained:
            workshop._take_autoencoder(network)
        return network.eval().requires_grad_(False)

    def _settled(self) -> "WeightWorkshop":
        """Return this workshop with a recipe that says what the set's LoRAs are."""
        return replace(self, recipe=settled(self.recipe, self.identities, _first(self.identities)))

    def _seen(self) -> tuple[Sight, Material]:
        sight = Sight.load(self.recipe.sight, self.base, self.machine.device)
        return sight, Material.gather(self.identities, sight, self.folder / FEATURES)

    def _train_stages(self) -> Description | None:
        """Train what was asked for, and after the generator write the folder."""
        sight, material = self._seen()
        network, description, vectors = self._network(sight, material)
        if self.stage != GENERATOR and network.codec.is_trained:
            self._train_autoencoder(network, vectors)
        elif network.codec.is_trained:
            self._take_autoencoder(network)
        add_facts(self.folder, "weights", _measured(network, vectors))
        if self.stage == AUTOENCODER:
            return None
        return self._train_generator(network, description, vectors, material)

    def _network(self, sight: Sight, material: Material) -> tuple[WeightGenerator, Description, WeightVectors]:
        """Return the untrained network, what it will say of itself, and the LoRAs."""
        bank = _first(self.identities)
        description = self._describe(sight, material, list(bank.space.specs.values()))
        description = description.model_copy(update={"latent": len(self.identities) - 1})
        torch.manual_seed(self.recipe.generator_training.seed)
        network = build_generator(description)
        description = description.model_copy(update={"latent": network.codec.size})
        if network.layout.common is not None:
            network.share(shared_factor(bank))
        vectors = network.targets(self.identities, self.folder / LORAS)
        network.standard.fit(vectors)
        network.codec.fit(vectors.changed(network.standard.standardise))
        photos = [number for entry in self.identities for number in entry.different][:STANDARD]
        network.generator.features.fit(material.features([photos]))
        return network.to(self.machine.device), description, vectors

    def _train_autoencoder(self, network: WeightGenerator, vectors: WeightVectors) -> None:
        task = AutoencoderTask(network, vectors, self.recipe, self._identity())
        settings, minutes = self.recipe.autoencoder_training, self._minutes(network)
        assert settings is not None
        train_network(task, settings, self.folder, AUTOENCODER, self.machine, minutes, self._attend())

    def _take_autoencoder(self, network: WeightGenerator) -> None:
        """Take up the autoencoder that was trained before.

        Raises:
            BadConfig: If there is none.
        """
        if not has_weights(self.folder / AUTOENCODER):
            raise BadConfig(
                f"{self.folder} holds no trained autoencoder; train it first, with --stage {AUTOENCODER}, or both"
                " without --stage"
            )
        weights, _ = trained_weights(self.folder / AUTOENCODER)
        with torch.no_grad():
            for name, parameter in network.codec.named_parameters():
                parameter.copy_(weights[name])

    def _train_generator(
        self, network: WeightGenerator, description: Description, vectors: WeightVectors, material: Material
    ) -> Description:
        latents = _encoded(network, vectors)
        network.generator.fit(latents)
        self.machine.prepare(network.generator)
        task = GeneratorTask(network, latents, material, self.recipe, self._identity())
        settings, minutes = self.recipe.generator_training, self._minutes(network)
        loop = train_network(task, settings, self.folder, GENERATOR, self.machine, minutes, self._attend())
        report = read_report(self.folder)
        update = {"steps": loop.completed, "seconds": round(loop.elapsed)}
        description = description.model_copy(update=update)
        facts = {f"{stage} {name}": value for stage, own in report.items() for name, value in own.items()}
        known = self._known_kinds(material)
        save_hypernetwork(self.folder, description, network.state_dict(), known, facts, network.numbers)
        return description

    def _minutes(self, network: WeightGenerator) -> float | None:
        """Return the time of a stage: half of it where two are trained."""
        both = not self.stage and network.codec.is_trained
        return self.minutes / 2 if self.minutes is not None and both else self.minutes

    def _identity(self) -> Mapping[str, Any]:
        keys = [entry.key for entry in self.identities]
        return {"base": self.base.fingerprint, "identities": keys}


def settled(recipe: DiffloraRecipe, identities: IdentitySet, bank: Adapter) -> DiffloraRecipe:
    """Return a recipe with the settings of the weights as a set's targets have them.

    Raises:
        BadConfig: If the targets are no LoRAs, or other ones than the recipe wants.
    """
    config, target = bank.config, identities.settings.target
    if bank.method.name != "lora" or not isinstance(config, LoraConfig) or config.scaling != 1.0:
        raise BadConfig(
            f"the targets of {identities.folder} are {bank.method.name} {bank.config}; difflora learns from LoRAs with"
            " alpha = rank: make the set with --target lora"
        )
    there = {"rank": config.rank, "shared_a": target is not None and target.frozen_a}
    for name, value in there.items():
        wanted = getattr(recipe.weights, name)
        if wanted is not None and wanted != value:
            raise BadConfig(
                f"weights.{name} is {wanted}, but the targets of {identities.folder} have {value}; leave it out, or"
                " make another set"
            )
    return recipe.model_copy(update={"weights": recipe.weights.model_copy(update=there)})


def _first(identities: IdentitySet) -> Adapter:
    """Return the first identity's target adapter, as a bank: what all are like.

    Raises:
        BadConfig: If somebody has none, or there are too few.
    """
    if lacking := [entry.key for entry in identities if entry.target is None]:
        raise BadConfig(
            f"{lacking[0]} in {identities.folder} has no target adapter, which difflora learns from; make the set with"
            " --target lora"
        )
    if len(identities) < 3:
        raise BadConfig(f"{len(identities)} LoRAs are too few to learn what they have in common")
    return identities.targets(identities[:1])


@torch.no_grad()
def _encoded(network: WeightGenerator, vectors: WeightVectors) -> Tensor:
    """Return the latents of LoRAs ``[N, size]``, on the network's device."""
    device = network.standard.mean.device
    parts = (chosen for _, rows in vectors.parts() for chosen in rows.split(_AT_ONCE))
    return torch.cat([network.encode(part.to(device)) for part in parts])


@torch.no_grad()
def _measured(network: WeightGenerator, vectors: WeightVectors) -> dict[str, float]:
    """Return how far LoRAs are squeezed, and how well the training ones are restored."""
    latents, errors = _encoded(network, vectors), dict.fromkeys(("error", "cosine", "largest"), 0.0)
    for rows, wanted in vectors.parts():
        restored = torch.cat([network.decode(part).cpu() for part in latents[rows].split(_AT_ONCE)])
        for name, mean in compare(network.layout, restored, wanted).means.items():
            errors[name] += mean * len(wanted) / len(vectors)
    return {"numbers": network.numbers, "latent": network.codec.size, "ratio": round(network.codec.ratio, 2), **errors}
