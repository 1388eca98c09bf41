"""Training a network of HyperDreamBooth in its folder: features first, then the network; the same command goes on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch

from portraitist.adapters import LayerSpec, Space, find_layers
from portraitist.adapters.spec import Kind
from portraitist.errors import BadConfig
from portraitist.hypernetworks.description import Description
from portraitist.hypernetworks.identities.identity_set import IdentitySet
from portraitist.hypernetworks.material import Material
from portraitist.hypernetworks.networks.contract import PhotoToAdapter
from portraitist.hypernetworks.networks.outputs import Output
from portraitist.hypernetworks.networks.predictor import Predictor
from portraitist.hypernetworks.networks.subspace import SUBSPACE, SharedChanges
from portraitist.hypernetworks.saving import save_hypernetwork
from portraitist.hypernetworks.settings import HypernetworkRecipe
from portraitist.hypernetworks.sight import Sight
from portraitist.hypernetworks.task import HypernetworkTask
from portraitist.hypernetworks.workshop import FEATURES, STANDARD, AnyWorkshop
from portraitist.training.blank_adapters import resolve_layers
from portraitist.training.networks.reports import read_report
from portraitist.training.networks.training import train_network

METHOD = "hyperdreambooth"
STAGE = "run"


def build_predictor(description: Description, token_scale: float = 1.0) -> Predictor:
    """Build an untrained network as it is described."""
    recipe = description.recipe
    assert isinstance(recipe, HypernetworkRecipe)
    specs = [layer.spec() for layer in description.layers]
    output = Output(recipe.output, specs, description.token_ids, token_scale)
    return Predictor(recipe.decoder, description.shapes, output)


@dataclass(frozen=True)
class PredictorWorkshop(AnyWorkshop[HypernetworkRecipe]):
    """The folder in which a network of HyperDreamBooth is trained; see `AnyWorkshop`.

    Attributes:
        changes_of: A trained network whose learned changes are taken to begin with. A network learns its coefficients
            several times as fast when it need not find out at the same time what they are coefficients of.
        begun_with: What to call that network.
    """

    method: ClassVar[str] = METHOD
    stages: ClassVar[tuple[str, ...]] = (STAGE,)

    changes_of: PhotoToAdapter | None = None
    begun_with: str = ""

    def _train(self) -> Description:
        begun = self._changes_to_begin_with()
        sight = Sight.load(self.recipe.sight, self.base, self.machine.device)
        material = Material.gather(self.identities, sight, self.folder / FEATURES)
        description = self.describe(sight, material)
        torch.manual_seed(self.recipe.training.seed)
        predictor = build_predictor(description, self._token_scale())
        if begun is not None and predictor.output.changes is not None:
            predictor.output.changes.load_state_dict(begun.state_dict())
        photos = [number for entry in self.identities for number in entry.different][:STANDARD]
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
        done = {"steps": loop.completed, "seconds": round(loop.elapsed), "begun_with": self.begun_with}
        description = description.model_copy(update=done)
        known = self._known_kinds(material)
        save_hypernetwork(self.folder, description, predictor.state_dict(), known, facts, predictor.numbers)
        return description

    def describe(self, sight: Sight, material: Material) -> Description:
        """Return what the network will say of itself, untrained."""
        token = self.identities.settings.token
        ids = self.base.family.token_ids(token) if self.recipe.output.token else ()
        return self._describe(sight, material, self._layers(), ids)

    def _changes_to_begin_with(self) -> SharedChanges | None:
        """Return the other network's learned changes, if there is one.

        Raises:
            BadConfig: If one of the two has none, or theirs are not of the same size on the same layers.
        """
        if self.changes_of is None:
            return None
        settings = self.recipe.output
        changes = self.changes_of.output.changes if isinstance(self.changes_of, Predictor) else None
        if settings.space != "subspace" or changes is None:
            raise BadConfig(
                "only networks that predict coefficients of learned changes (output.space=subspace) have any to begin"
                " with"
            )
        own = Space.of(SUBSPACE, settings.config, [spec for spec in self._layers() if spec.kind is Kind.LINEAR])
        if own != changes.space:
            raise BadConfig(
                f"the learned changes to begin with are {changes.space.config} on {len(changes.space.specs)} layers,"
                f" this network's {own.config} on {len(own.specs)}; they must be the same, on the same layers"
            )
        return changes

    def _layers(self) -> list[LayerSpec]:
        """Return the layers whose numbers are predicted."""
        base, settings = self.base, self.recipe.output
        found = find_layers(base.components, resolve_layers(base, settings.layers))
        linear = [spec for spec in found if spec.kind is Kind.LINEAR]
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
        everybody = ", ".join(f"{count} of class {kind}" for kind, count in known.kinds.items()) or "nobody"
        raise BadConfig(f"nobody in {known.folder} is left to train on; it has {everybody}, flagged ones included")
    return chosen
