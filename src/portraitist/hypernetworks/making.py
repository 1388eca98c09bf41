"""Training a hypernetwork in its folder: features first, then the network; the same command goes on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from portraitist import __version__
from portraitist.adapters import LayerSpec, find_layers
from portraitist.bases import Base
from portraitist.errors import BadConfig
from portraitist.files import require_writable
from portraitist.hypernetworks.description import CONFIG, Description, Layer, read_description
from portraitist.hypernetworks.identities.identity_set import IdentitySet
from portraitist.hypernetworks.kinds import KnownKinds
from portraitist.hypernetworks.material import Material
from portraitist.hypernetworks.saved import build_predictor, save_hypernetwork
from portraitist.hypernetworks.settings import HypernetworkRecipe
from portraitist.hypernetworks.sight import Sight, first_embedding
from portraitist.hypernetworks.task import HypernetworkTask
from portraitist.training.blank_adapters import base_metadata, resolve_layers
from portraitist.training.loop.loop import Callback, Loop
from portraitist.training.networks.machine import Machine
from portraitist.training.networks.reports import read_report
from portraitist.training.networks.training import train_network

STAGE = "run"
_FEATURES = "features"
# Photos from which each channel's mean and deviation are taken, and what kinds look like.
_STANDARD = 2000


@dataclass(frozen=True)
class Workshop:
    """The folder in which a hypernetwork is trained, and in the end lies.

    Attributes:
        folder: Where everything goes: `config.json`, the weights and the model card; checkpoints and features below.
        name: Name of the recipe.
        recipe: All settings.
        identities: Those to train on.
        base: The base whose adapters are predicted.
        machine: What it is trained on.
        minutes: Time from now on, instead of the recipe's steps.
        callbacks: Called with the number of completed steps.
    """

    folder: Path
    name: str
    recipe: HypernetworkRecipe
    identities: IdentitySet
    base: Base
    machine: Machine
    minutes: float | None = None
    callbacks: Sequence[Callback] = ()

    def train(self) -> Description:
        """Train the network to its end and write it; return what it says of itself.

        Raises:
            BadConfig: If the folder holds something else, or something needed is missing.
            TrainingInterrupted: On Ctrl-C or a termination signal, after a checkpoint was written.
        """
        require_writable(self.folder)
        self._require_own_folder()
        sight = Sight.load(self.recipe.sight, self.base, self.machine.device)
        material = Material.gather(self.identities, sight, self.folder / _FEATURES)
        description = self.describe(sight, material)
        torch.manual_seed(self.recipe.training.seed)
        predictor = build_predictor(description, self._token_scale())
        photos = [number for entry in self.identities for number in entry.different][:_STANDARD]
        predictor.network.memory.fit(material.features([photos]))
        predictor.to(self.machine.device)
        self.machine.prepare(predictor.network)
        task = HypernetworkTask(self.base, predictor, material, self.recipe, self.machine)
        try:
            loop = train_network(
                task, self.recipe.training, self.folder, STAGE, self.machine, self.minutes, self._attend()
            )
        finally:
            task.close()
        facts = read_report(self.folder)[STAGE]
        description = description.model_copy(update={"steps": loop.completed, "seconds": round(loop.elapsed)})
        known = self._known_kinds(material)
        save_hypernetwork(self.folder, description, predictor.state_dict(), known, facts, predictor.output.count)
        return description

    def _attend(self) -> Callable[[str, Loop], Sequence[Callback]]:
        return lambda stage, loop: self.callbacks

    def _require_own_folder(self) -> None:
        """Refuse a folder of other things, or of another hypernetwork."""
        if (self.folder / CONFIG).exists():
            there = read_description(self.folder)
            if there.recipe.output != self.recipe.output or there.recipe.sight != self.recipe.sight:
                raise BadConfig(
                    f"{self.folder} holds a hypernetwork of other settings ({there.recipe_name}); choose another folder"
                )
        elif self.folder.exists() and (strange := self._strange_files()):
            raise BadConfig(f"{self.folder} holds other things ({strange[0]}); choose another folder with -o")

    def _strange_files(self) -> list[str]:
        own = {STAGE, _FEATURES, "report.json"}
        return sorted(path.name for path in self.folder.iterdir() if path.name not in own)

    def describe(self, sight: Sight, material: Material) -> Description:
        """Return what the network will say of itself, untrained."""
        settings, base = self.recipe.output, self.base
        kinds: dict[str, int] = {}
        for entry in self.identities:
            kinds[entry.class_noun] = kinds.get(entry.class_noun, 0) + 1
        return Description(
            recipe_name=self.name,
            recipe=self.recipe,
            base=base_metadata(base),
            encoders=sight.facts,
            shapes=material.shapes,
            layers=tuple(Layer.of(spec) for spec in self._layers()),
            token=self.identities.settings.token,
            token_ids=base.family.token_ids(self.identities.settings.token) if settings.token else (),
            kinds=kinds,
            version=__version__,
        )

    def _layers(self) -> list[LayerSpec]:
        """Return the layers whose numbers are predicted."""
        base, settings = self.base, self.recipe.output
        found = find_layers(base.components, resolve_layers(base, settings.layers))
        linear = [spec for spec in found if spec.kind.value == "linear"]
        if not linear:
            raise BadConfig(f"output.layers={settings.layers} names no linear layer, and only these are predicted")
        embedding = find_layers(base.components, resolve_layers(base, "token-embedding"))[:1] if settings.token else []
        return [*linear, *embedding]

    def _token_scale(self) -> float:
        """Return the deviation of the embedding's numbers."""
        if not self.recipe.output.token:
            return 1.0
        encoder = self.base.components[self.base.family.text_encoders[0]]
        weight = encoder.get_input_embeddings().weight  # type: ignore[operator]
        return float(weight.float().std())

    def _known_kinds(self, material: Material) -> KnownKinds:
        """Learn what photos of each kind look like to the first thing that is seen."""
        by_kind: dict[str, list[int]] = {}
        for entry in self.identities:
            by_kind.setdefault(entry.class_noun, []).append(entry.first)
        photos = [(kind, photo) for kind, own in by_kind.items() for photo in own[:_STANDARD]]
        features = material.features([[photo] for _, photo in photos])
        embeddings = first_embedding(self.recipe.sight, features)[:, 0]
        return KnownKinds.learn(embeddings, [kind for kind, _ in photos])


def choose_identities(
    known: IdentitySet, split: str, kinds: Sequence[str] = (), count: int | None = None, flagged: bool = False
) -> IdentitySet:
    """Choose whom to train on.

    Args:
        known: A set.
        split: Which of its splits; ``all`` for everybody.
        kinds: Only these kinds; all when empty.
        count: Only the first so many.
        flagged: Also those that the set flags as poor.

    Raises:
        BadConfig: If nobody is left.
    """
    chosen = known if split == "all" else known.part(split)
    if kinds:
        chosen = chosen.of_kinds(kinds)
    if not flagged:
        chosen = chosen.good()
    if count is not None:
        chosen = chosen.first(count)
    if not len(chosen):
        raise BadConfig(
            f"nobody in {known.folder} is left to train on; it has {dict(known.kinds)}, flagged ones included"
        )
    return chosen
