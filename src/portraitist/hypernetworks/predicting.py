"""From photos of somebody to an adapter, in one pass through a hypernetwork."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from PIL import Image
from torch import Tensor

from portraitist import __version__
from portraitist.adapters import Adapter, Provenance
from portraitist.adapters.finding import find_module
from portraitist.bases import Base
from portraitist.errors import BadConfig, BaseMismatch
from portraitist.evaluation.protocol import fill
from portraitist.exchange.compatibility import base_facts
from portraitist.hypernetworks.counting import SubjectCounter
from portraitist.hypernetworks.networks.contract import Predicted, Wish
from portraitist.hypernetworks.saved import SavedHypernetwork
from portraitist.hypernetworks.sight import Sight, first_embedding
from portraitist.training.blank_adapters import base_metadata


@dataclass(frozen=True)
class Prediction:
    """What a hypernetwork made of photos.

    Attributes:
        adapter: The adapter, with provenance.
        energy: Part of the change's squared norm that was kept in the layer that lost most; 1 unless a rank was asked.
        warnings: What may disappoint, one line each.
    """

    adapter: Adapter
    energy: float
    warnings: tuple[str, ...]


class Seer:
    """A hypernetwork with the encoders it sees with, for one base.

    Args:
        hypernetwork: The hypernetwork.
        base: The base.
        force: Go on with a base it was not made for, if it has the same layers.

    Raises:
        BaseMismatch: If it was made for another base.
        BadConfig: If an encoder is missing or has other weights than the one it was trained with, or the base lacks a
            layer that is changed.
    """

    def __init__(self, hypernetwork: SavedHypernetwork, base: Base, force: bool = False) -> None:
        description = hypernetwork.description
        self.hypernetwork, self.base = hypernetwork, base
        if not force and description.base_facts.likeness(base_facts(base)) == "different":
            raise BaseMismatch(
                f"the hypernetwork {hypernetwork.name} was made for {description.base_facts}, not for {base.name}"
                f" (fingerprint {base.fingerprint}); give --base {description.base_facts.name}, or --force"
            )
        for spec in hypernetwork.predictor.specs:
            find_module(base.components, spec)
        self.sight = Sight.load(description.recipe.sight, base, base.device)
        for there, found in zip(description.encoders, self.sight.facts, strict=True):
            if not there.same_measure(found):
                raise BadConfig(
                    f"the encoder {there.name} here has weights {found.revision}, but the hypernetwork"
                    f" {hypernetwork.name} was trained with {there.revision}; it would see photos differently"
                )

    @torch.no_grad()
    def predict(
        self,
        photos: Sequence[Image.Image],
        class_noun: str,
        guidance: float = 1.0,
        rank: int | None = None,
        seed: int = 0,
        sampling_steps: int | None = None,
    ) -> Prediction:
        """Predict an adapter from one or several photos of somebody.

        Args:
            photos: RGB, square, at the base's resolution.
            class_noun: What kind of thing it is.
            guidance: How far to lead away from the adapter of nobody in particular; 1 not at all.
            rank: Maximum rank of the LoRA; when not given, the rank that is predicted.
            seed: Chooses one of the adapters of a photo, where the network draws them.
            sampling_steps: In how many steps they are drawn; as many as is usual when not given.

        Raises:
            BadConfig: If there is no photo, or the base's latents are of another size.
        """
        if not photos:
            raise BadConfig("there is no photo; give one, or several of the same person or thing")
        description = self.hypernetwork.description
        features = self.sight.see(photos)
        shapes = {name: (values.shape[-2], values.shape[-1]) for name, values in features.items()}
        if shapes != description.shapes:
            raise BadConfig(
                f"the hypernetwork {self.hypernetwork.name} sees {description.shapes} (tokens and their width), not"
                f" {shapes} as with {self.base.name}; use the base it was made for"
            )
        warnings = self._doubts(features, class_noun)
        if class_noun not in description.kinds:
            learnt = ", ".join(description.kinds)
            warnings.append(
                f"the hypernetwork was trained on other kinds ({learnt}), not on {fill('a {}', class_noun)}; expect"
                " little likeness"
            )
        together = {name: values.unsqueeze(0).to(self.base.device) for name, values in features.items()}
        wish = Wish(guidance, seed, sampling_steps)
        predicted = self.adapter(self.hypernetwork.predictor.predict(together, wish)[0], class_noun, wish, rank)
        return Prediction(predicted.adapter, predicted.energy, tuple(dict.fromkeys(warnings)))

    def adapter(self, numbers: Tensor, class_noun: str, wish: Wish, rank: int | None = None) -> Predicted:
        """Return predicted numbers ``[P]`` as an adapter of this base.

        Args:
            numbers: Of one prediction.
            class_noun: What kind of thing it is.
            wish: How it was made, for its file.
            rank: Maximum rank of the LoRA.
        """
        return self.hypernetwork.predictor.adapter(numbers, self._provenance(class_noun, wish), rank)

    def _doubts(self, features: Mapping[str, Tensor], class_noun: str) -> list[str]:
        """Say in a line each what is wrong with photos: several subjects, none, or one of another kind."""
        embeddings = first_embedding(self.hypernetwork.description.recipe.sight, features)
        lines = [self.hypernetwork.known.warning(each, class_noun) for each in embeddings]
        if (counter := self._counter) is not None:
            seen = [counter.count(each) for each in features[counter.name].flatten(-2)]
            for number, (count, text) in enumerate(seen):
                if count == "several":
                    lines[number] = (
                        f"the photo seems to show several subjects (it looks like {text!r}); crop it to the one you"
                        " mean"
                    )
                # Not believed of a photo that looks like the kinds.
                elif count == "none" and lines[number] is not None:
                    lines[number] = f"the photo shows no subject; give one that shows {fill('a {}', class_noun)}"
        return [line for line in lines if line is not None]

    @cached_property
    def _counter(self) -> SubjectCounter | None:
        return SubjectCounter.among(self.sight.encoders, self.hypernetwork.known.names)

    def _provenance(self, class_noun: str, wish: Wish) -> Provenance:
        description = self.hypernetwork.description
        drawn = {"seed": wish.seed, "sampling_steps": wish.sampling_steps} if self.hypernetwork.predictor.draws else {}
        return Provenance(
            {
                "base": base_metadata(self.base),
                "subject": {"name": class_noun, "class": class_noun, "token": description.token},
                "trigger": f"{description.token} {class_noun}",
                "hypernetwork": {
                    "name": self.hypernetwork.name,
                    "method": description.method,
                    "recipe": description.recipe_name,
                    "steps": description.steps,
                    "guidance": wish.guidance,
                    **drawn,
                },
                "portraitist_version": __version__,
            }
        )
