"""What a hypernetwork's folder says of it: all that is needed to build it again and to know what it is for."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from portraitist.adapters import BaseFacts, LayerSpec
from portraitist.adapters.spec import Kind
from portraitist.errors import BadFile
from portraitist.evaluation.encoders import EncoderFacts
from portraitist.hypernetworks.difflora.settings import DiffloraRecipe
from portraitist.hypernetworks.settings import HypernetworkRecipe

CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"


class Layer(BaseModel):
    """An adapted layer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    kind: str
    shape: tuple[int, ...]
    bias: tuple[int, ...] | None = None

    @classmethod
    def of(cls, spec: LayerSpec) -> "Layer":
        """Describe a linear layer or an embedding."""
        return cls(name=spec.name, kind=spec.kind.value, shape=spec.shape, bias=spec.bias)

    def spec(self) -> LayerSpec:
        """Return the layer as methods know it."""
        return LayerSpec(self.name, Kind(self.kind), self.shape, bias=self.bias)


class Description(BaseModel):
    """Everything about a hypernetwork but its weights.

    Attributes:
        format: Version of the folder's layout.
        method: The kind of hypernetwork, a name of `portraitist.hypernetworks.systems`.
        recipe_name: The recipe it was trained with,
        recipe: and all its settings.
        base: The base whose adapters it predicts: name, family, fingerprint, dtype, resolution.
        encoders: Names and hashes of the encoders it sees with.
        shapes: Tokens and their width of what it sees, by source.
        layers: The layers it changes.
        token: The rare word that calls whoever is predicted,
        token_ids: and its tokens.
        latent: Numbers of a squeezed adapter, where adapters are squeezed.
        kinds: How many identities of each class noun it was trained on.
        begun_with: Whose learned changes it began with, in words; empty if with none.
        steps: Optimiser steps.
        seconds: Time they took.
        version: Of this package.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["portraitist-hypernetwork-2"] = "portraitist-hypernetwork-2"
    method: str = "hyperdreambooth"
    recipe_name: str
    recipe: HypernetworkRecipe | DiffloraRecipe
    base: dict[str, Any]
    encoders: tuple[EncoderFacts, ...]
    shapes: dict[str, tuple[int, int]]
    layers: tuple[Layer, ...]
    token: str
    token_ids: tuple[int, ...] = ()
    latent: int | None = None
    kinds: dict[str, int]
    begun_with: str = ""
    steps: int = Field(0, ge=0)
    seconds: float = Field(0.0, ge=0)
    version: str

    @property
    def base_facts(self) -> BaseFacts:
        """Return the base as adapters' files name it."""
        return BaseFacts.parse(self.base) or BaseFacts()

    @property
    def output(self) -> str:
        """Say in a few words what it predicts."""
        return self.recipe.output_words(len(self._sides))

    @property
    def details(self) -> dict[str, str]:
        """Say what else must be known of it, by what heads."""
        return self.recipe.details(self._sides, self.latent)

    @property
    def _sides(self) -> list[tuple[int, int]]:
        """Return inputs and outputs of the linear layers."""
        return [(each.shape[1], each.shape[0]) for each in self.layers if each.kind == "linear"]


def read_description(folder: Path) -> Description:
    """Read what a folder says.

    Raises:
        BadFile: If it holds no hypernetwork, or what it says is damaged.
    """
    path = folder / CONFIG
    try:
        return Description.model_validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise BadFile(
            f"{folder} holds no hypernetwork; train one with `portraitist hypernetwork train hyperdreambooth"
            f" --identities SET -o {folder}`, or difflora in its place"
        ) from error
    except (OSError, ValidationError) as error:
        raise BadFile(f"{path} is damaged, or from another version; train the hypernetwork again") from error


def model_card(description: Description, facts: Mapping[str, float], numbers: int) -> str:
    """Return the model card: what it is, what for, what it was trained on, how it is used."""
    kinds = ", ".join(f"{count:,} of class {kind}" for kind, count in description.kinds.items())
    encoders = "\n".join(f"- {encoder}" for encoder in description.encoders) or "- none"
    measured = "\n".join(f"- {name}: {value:g}" for name, value in facts.items())
    some_kind = next(iter(description.kinds), "person")
    begun = f"- Began with the learned changes of {description.begun_with}.\n" if description.begun_with else ""
    return f"""# Photo to adapter: a hypernetwork for {description.base_facts.name}

Turns a photo of somebody into an adapter in one pass ({description.recipe.paper}).

- Recipe: `{description.recipe_name}`; all of its settings are in `{CONFIG}`.
- Predicts: {description.output}; {numbers:,} numbers of an adapter.
- Base: {description.base_facts}; its adapters work with this base only.
- Trained on: {kinds}; {description.steps:,} steps in {description.seconds / 60:.0f} minutes.
{begun}- It knows no other kinds of subjects.
- Word for whoever is in the photo: `{description.token}`, followed by the class noun.
- portraitist {description.version}

It sees photos through these frozen encoders:

{encoders}

## Use

    portraitist instant PHOTO --class {some_kind} -o somebody.safetensors --hypernetwork FOLDER
    portraitist generate "a photo of a {description.token} {some_kind} on the beach" --adapter somebody.safetensors

## Training

{measured}
"""
