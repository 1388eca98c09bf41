"""What a run will need, before anything is downloaded: memory, file size, steps, trained parameters, time.

The footprint of one step is counted (`counting`), everything else is worked out from it (`memory`, `leaner`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode

from portraitist.adapters import Adapter, Provenance, Space, file_size, find_layers, get_method
from portraitist.adapters.layer import WITHOUT_WEIGHTS
from portraitist.adapters.patterns import select_layers
from portraitist.adapters.provenance import BaseFacts
from portraitist.adapters.spec import LayerSpec
from portraitist.bases import Base
from portraitist.bases.cards import Card, card_of_size
from portraitist.bases.families import FAMILIES
from portraitist.bases.layers import LAYER_SETS
from portraitist.bases.skeletons import build_schedule, build_skeleton
from portraitist.errors import BadConfig
from portraitist.training.blank_adapters import adapter_metadata, fill_placeholders, layer_patterns
from portraitist.training.planning.architectures import read_architecture
from portraitist.training.planning.counting import can_pack, count_footprint, describe_training
from portraitist.training.planning.leaner import SIZES, Choices, Fit, find_fits
from portraitist.training.planning.memory import Footprint, Memory, Setup, Trained
from portraitist.training.planning.published import ARCHITECTURES, published_footprint
from portraitist.training.planning.tensor_memory import TensorMemory
from portraitist.training.recipes import Recipe, load_recipe

_FINGERPRINT = "0" * 32


@dataclass(frozen=True)
class Plan:
    """What a run will take.

    Attributes:
        recipe: Its settings.
        setup: What they say of batch, pictures and precision.
        layers: Adapted layers.
        parameters: How many are trained.
        file: Bytes of the adapter file.
        passes: How often each photo is seen, mirrored and cropped views together.
        footprint: What was counted.
        trained: What is trained.
        choices: What may be changed of the setup.
        precision: What the base is held in, e.g. ``bfloat16``.
    """

    recipe: Recipe
    setup: Setup
    layers: int
    parameters: int
    file: int
    passes: float
    footprint: Footprint
    trained: Trained
    choices: Choices
    precision: str

    @property
    def resolution(self) -> int:
        """Return the side of the pictures."""
        return self.setup.resolution

    @property
    def memory(self) -> Memory:
        """Return what the run needs at once."""
        return self.footprint.memory(self.trained, self.setup)

    def fits(self, others: Sequence[Card] = ()) -> list[Fit]:
        """Return what makes the run fit cards of all sizes, and others."""
        return find_fits(self.footprint, self.trained, self.choices, [*map(card_of_size, SIZES), *others])


def make_plan(
    base: str,
    method: str | None,
    overrides: Mapping[str, Any],
    photos: int,
    *,
    dtype: torch.dtype = torch.float32,
    bits: int | None = None,
    resolution: int | None = None,
) -> Plan:
    """Plan a run.

    Args:
        base: A public architecture, a folder in the diffusers layout, or a base that is here.
        method: The method; LoRA when not given.
        overrides: Settings above the recipe's.
        photos: How many there are.
        dtype: Precision of the base.
        bits: Of the denoiser's linear weights, if fewer.
        resolution: Side of the pictures; the base's own when not given.

    Raises:
        BadConfig: If there is no such base or method, it makes no such pictures, or a setting is wrong.
    """
    known = _published(base, method, overrides, dtype, resolution)
    recipe, adapter, footprint = known or count_run(base, method, overrides, dtype, resolution)
    packable = can_pack(adapter, footprint.staying[0])
    if bits is not None and not packable:
        raise BadConfig(
            f"{recipe.method} needs weights that a base in {bits} bits does not have; leave out --base-bits, or use"
            f" {WITHOUT_WEIGHTS}"
        )
    memory = recipe.memory
    setup = Setup(
        recipe.batch_size,
        resolution or footprint.resolution,
        memory.checkpoint_activations,
        memory.offload,
        recipe.optimizer.name,
        bits,
    )
    return Plan(
        recipe=recipe,
        setup=setup,
        layers=len(adapter.layers),
        parameters=adapter.count(),
        file=file_size(adapter),
        passes=recipe.steps * recipe.batch_size * recipe.accumulate / _trained_photos(recipe, photos),
        footprint=footprint,
        trained=describe_training(adapter, recipe),
        choices=Choices(setup, recipe.accumulate, packable, footprint.resolution_step),
        precision=_name(dtype),
    )


def _published(
    base: str, method: str | None, overrides: Mapping[str, Any], dtype: torch.dtype, resolution: int | None
) -> tuple[Recipe, Adapter, Footprint] | None:
    """Return a run on a published architecture whose footprint was counted beforehand; None if it was not.

    Raises:
        BadConfig: If a setting is wrong, or the base makes no such pictures.
    """
    architecture = read_architecture(base) if base in ARCHITECTURES else None
    if architecture is None:
        return None
    recipe = load_recipe(method, base, architecture.family, overrides=overrides)
    footprint = published_footprint(base, dtype, recipe)
    if footprint is None:
        return None
    if resolution is not None:
        family = next(each for each in FAMILIES if each.name == architecture.family)
        family.check_resolution(resolution, footprint.resolution_step)
    patterns = layer_patterns(base, LAYER_SETS[architecture.family], recipe.layers)
    facts = BaseFacts(base, architecture.family, _FINGERPRINT, _name(dtype), resolution or footprint.resolution)
    return recipe, _blank_adapter(select_layers(architecture.described, patterns), facts, recipe, "meta"), footprint


def count_run(
    base: str,
    method: str | None,
    overrides: Mapping[str, Any],
    dtype: torch.dtype,
    resolution: int | None = None,
) -> tuple[Recipe, Adapter, Footprint]:
    """Count the footprint of a run on the model without numbers; arguments and errors are those of `make_plan`."""
    schedule = build_schedule(base)  # of numbers, which fake tensors have not
    memory = TensorMemory()
    with FakeTensorMode(allow_non_fake_inputs=True), memory:
        family = build_skeleton(base, dtype, "cpu", schedule)
        recipe = load_recipe(method, base, family.name, overrides=overrides)
        if resolution is not None:
            family.choose_resolution(resolution)
        specs = find_layers(family.components, layer_patterns(base, family.layer_sets, recipe.layers))
        facts = BaseFacts(base, family.name, _FINGERPRINT, _name(dtype), family.resolution)
        adapter = _blank_adapter(specs, facts, recipe, "cpu")
        return recipe, adapter, count_footprint(Base(base, family), adapter, recipe, memory)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _trained_photos(recipe: Recipe, photos: int) -> int:
    """Return how many of the photos are trained on."""
    held_out = recipe.watch.held_out if recipe.watch.held_out is not None else int(photos >= 4)
    trained = photos - held_out if recipe.watch.every else photos
    if trained < 1:
        raise BadConfig(f"watch.held_out={held_out} of {photos} photos leaves none to train on; lower it")
    return trained


def _blank_adapter(specs: Sequence[LayerSpec], base: BaseFacts, recipe: Recipe, device: str) -> Adapter:
    """Return a recipe's adapter with parameters that have shapes only."""
    words = {"{token}": (0,), "{class}": (1,)}
    method = get_method(recipe.method)
    if isinstance(recipe.layers, str):
        specs = [spec for spec in specs if spec.kind in method.layers]
    space = Space.of(method, fill_placeholders(recipe.method_config, words), specs)
    values: dict[str, dict[str, Tensor]] = {
        name: {key: nn.Parameter(torch.empty(shape, device=device)) for key, shape in shapes.items()}
        for name, shapes in space.shapes.items()
    }
    metadata = adapter_metadata(asdict(base), recipe)
    metadata |= {"subject": {"name": "subject", "class": "subject", "token": "sks"}, "trigger": "sks subject"}
    metadata["training"] = {"steps": recipe.steps, "seconds": 1000.0}
    return Adapter(space, values, Provenance(metadata))
