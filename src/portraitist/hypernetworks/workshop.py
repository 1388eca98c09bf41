"""What training any kind of hypernetwork does around its networks: a folder of its own, kinds, a description."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Generic

from portraitist import __version__
from portraitist.adapters import LayerSpec
from portraitist.bases import Base
from portraitist.errors import BadConfig
from portraitist.files import require_writable
from portraitist.hypernetworks.description import CONFIG, Description, Layer, read_description
from portraitist.hypernetworks.identities.identity_set import IdentitySet
from portraitist.hypernetworks.kinds import KnownKinds
from portraitist.hypernetworks.material import Material
from portraitist.hypernetworks.settings import AnyRecipe
from portraitist.hypernetworks.sight import Sight, first_embedding
from portraitist.locks import held
from portraitist.training.blank_adapters import base_metadata
from portraitist.training.loop.loop import Callback, Loop
from portraitist.training.networks.machine import Machine
from portraitist.training.networks.reports import REPORT

FEATURES, LORAS = "features", "loras"
# Photos from which each channel's mean and deviation are taken, and what kinds look like.
STANDARD = 2000


@dataclass(frozen=True)
class AnyWorkshop(ABC, Generic[AnyRecipe]):
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
        stage: The only one of its stages that is trained; all of them when empty.
        method: The kind of hypernetwork.
        stages: Whose checkpoints lie in the folder.
    """

    method: ClassVar[str]
    stages: ClassVar[tuple[str, ...]]

    folder: Path
    name: str
    recipe: AnyRecipe
    identities: IdentitySet
    base: Base
    machine: Machine
    minutes: float | None = None
    callbacks: Sequence[Callback] = ()
    stage: str = ""

    def train(self) -> Description | None:
        """Train to the end and write the folder; return what it says of itself, None if a later stage is to do so.

        Raises:
            BadConfig: If the folder holds something else, or something needed is missing.
            InUse: If another process trains in the folder.
            TrainingInterrupted: On Ctrl-C or a termination signal, after a checkpoint was written.
        """
        self._check_folder()
        with held(self.folder, "the training of a hypernetwork"):
            self._check_folder()  # again, as another training may have ended since
            return self._train()

    @abstractmethod
    def _train(self) -> Description | None:
        """Do what `train` says, in a folder that is this process' own."""

    def _attend(self) -> Callable[[str, Loop], Sequence[Callback]]:
        return lambda stage, loop: self.callbacks

    def _check_folder(self) -> None:
        """Refuse a stage there is not, a folder of other things, or of another hypernetwork."""
        if self.stage not in ("", *self.stages):
            raise BadConfig(f"{self.method} is trained in these stages: {', '.join(self.stages)}; not {self.stage!r}")
        require_writable(self.folder)
        if (self.folder / CONFIG).exists():
            there = read_description(self.folder)
            if there.method != self.method or there.recipe.structure() != self.recipe.structure():
                raise BadConfig(
                    f"{self.folder} holds a hypernetwork with other settings ({there.recipe_name}); choose another"
                    " folder"
                )
        elif self.folder.exists() and (strange := self._strange_files()):
            raise BadConfig(f"{self.folder} holds other things ({strange[0]}); choose another folder with -o")

    def _strange_files(self) -> list[str]:
        own = {*self.stages, FEATURES, LORAS, REPORT}
        names = (path.name for path in self.folder.iterdir())
        return sorted(name for name in names if name not in own and not name.startswith("."))

    def _describe(
        self, sight: Sight, material: Material, layers: Sequence[LayerSpec], token_ids: tuple[int, ...] = ()
    ) -> Description:
        """Return what the network will say of itself, untrained."""
        return Description(
            method=self.method,
            recipe_name=self.name,
            recipe=self.recipe,
            base=base_metadata(self.base),
            encoders=sight.facts,
            shapes=material.shapes,
            layers=tuple(Layer.of(spec) for spec in layers),
            token=self.identities.settings.token,
            token_ids=token_ids,
            kinds=dict(Counter(entry.class_noun for entry in self.identities)),
            version=__version__,
        )

    def _known_kinds(self, material: Material) -> KnownKinds:
        """Learn what photos of each kind look like to the first thing that is seen."""
        by_kind: dict[str, list[int]] = {}
        for entry in self.identities:
            by_kind.setdefault(entry.class_noun, []).append(entry.first)
        photos = [(kind, photo) for kind, own in by_kind.items() for photo in own[:STANDARD]]
        features = material.features([[photo] for _, photo in photos])
        embeddings = first_embedding(self.recipe.sight, features)[:, 0]
        return KnownKinds.learn(embeddings, [kind for kind, _ in photos])
