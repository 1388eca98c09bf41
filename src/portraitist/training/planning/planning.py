"""What a run will need, before anything is downloaded: memory, file size, steps, trained parameters.

One training step is run on tensors that have shapes but no values (PyTorch's fake tensors), by the code that trains,
and every storage is counted while it lives. What a library keeps out of sight (workspaces, a CUDA context) is not in
it.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode
from torch._subclasses.fake_tensor import unset_fake_temporarily

from portraitist.adapters import Adapter, Attachment, Provenance, Space, file_size, find_layers, get_method
from portraitist.bases import Base
from portraitist.bases.families import Conditions, Family, Framing, needs_upcast
from portraitist.bases.pipelines import Weights
from portraitist.bases.skeletons import build_schedule, build_skeleton
from portraitist.errors import BadConfig
from portraitist.training.blank_adapters import adapter_metadata, fill_placeholders, resolve_layers
from portraitist.training.dreambooth import DreamBoothTask
from portraitist.training.inputs.conditions import PromptBook
from portraitist.training.inputs.latents import Latents
from portraitist.training.loop.optimizers import OptimizerChoice, build_optimizer
from portraitist.training.memory import checkpointed
from portraitist.training.planning.tensor_memory import TensorMemory, unique_bytes
from portraitist.training.recipes import Recipe, load_recipe

# bitsandbytes keeps a float32 scale for 64 weights of 4 bits (NF4), one for a row of 8 bits.
_SCALES = {4: 1 / 16, 8: 0.0}
# Larger parameters' optimiser state is measured on so many of their values.
_SAMPLE = 2**20
_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Memory:
    """Bytes on the device where the base is trained.

    Attributes:
        base: Weights that stay there while it is trained.
        adapter: Parameters, gradients, optimiser state and the average.
        kept: What methods keep beside the weights (spectral shifts: decompositions).
        activations: Everything else at a step's peak.
        encoding: Peak of everything while photos are encoded, before training.
        sampling: Peak of everything while a picture is decoded, before or during training; 0 if none is sampled.
    """

    base: int
    adapter: int
    kept: int
    activations: int
    encoding: int
    sampling: int = 0

    @property
    def step(self) -> int:
        """Return the peak of a training step."""
        return self.base + self.adapter + self.kept + self.activations

    @property
    def peak(self) -> int:
        """Return the peak of the run."""
        return max(self.step, self.encoding, self.sampling)


@dataclass(frozen=True)
class Plan:
    """What a run will take.

    Attributes:
        recipe: Its settings.
        resolution: Side of the pictures.
        layers: Adapted layers.
        parameters: How many are trained.
        file: Bytes of the adapter file.
        passes: How often each photo is seen, mirrored and cropped views together.
        memory: What it needs at once.
    """

    recipe: Recipe
    resolution: int
    layers: int
    parameters: int
    file: int
    passes: float
    memory: Memory


def make_plan(
    base: str,
    method: str | None,
    overrides: dict[str, Any],
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
    schedule = build_schedule(base)  # of real values, which fake tensors do not have
    memory = TensorMemory()
    with FakeTensorMode(allow_non_fake_inputs=True), memory:
        family = build_skeleton(base, dtype, "cpu", schedule)
        recipe = load_recipe(method, base, family.name, overrides=overrides)
        if resolution is not None:
            family.choose_resolution(resolution)
        side = family.resolution
        adapter = _blank_adapter(Base(base, family), recipe)
        task = _task(Base(base, family), adapter, recipe, side)
        needed = _measure(task, memory, side, bits)
    held_out = recipe.watch.held_out if recipe.watch.held_out is not None else int(photos >= 4)
    trained = photos - held_out if recipe.watch.every else photos
    if trained < 1:
        raise BadConfig(f"watch.held_out={held_out} of {photos} photos leaves none to train on; lower it")
    seen = recipe.steps * recipe.batch_size * recipe.accumulate
    return Plan(recipe, side, len(adapter.layers), adapter.count(), file_size(adapter), seen / trained, needed)


def _blank_adapter(base: Base, recipe: Recipe) -> Adapter:
    """Return a recipe's adapter with parameters that have shapes only."""
    words = {"{token}": (0,), "{class}": (1,)}
    method = get_method(recipe.method)
    specs = find_layers(base.components, resolve_layers(base, recipe.layers))
    if isinstance(recipe.layers, str):
        specs = [spec for spec in specs if spec.kind in method.layers]
    space = Space.of(method, fill_placeholders(recipe.method_config, words), specs)
    values: dict[str, dict[str, Tensor]] = {
        name: {key: nn.Parameter(torch.empty(shape)) for key, shape in shapes.items()}
        for name, shapes in space.shapes.items()
    }
    metadata = adapter_metadata(base, recipe, "0" * 32)
    metadata |= {"subject": {"name": "subject", "class": "subject", "token": "sks"}, "trigger": "sks subject"}
    metadata["training"] = {"steps": recipe.steps, "seconds": 1000.0}
    return Adapter(space, values, Provenance(metadata))


class _Prompts(PromptBook):
    """Encodes prompts as a run does, and keeps nothing on disk."""

    def _encode_fixed(self, prompt: str) -> Conditions:
        with torch.no_grad():
            return self.base.family.encode_prompts([prompt])


def _task(base: Base, adapter: Adapter, recipe: Recipe, side: int) -> DreamBoothTask:
    """Return what a run trains, on one picture of each kind."""
    latents = _encoded(base.family, side)
    images = latents if recipe.prior in ("generated", "given") else None
    task = DreamBoothTask(base, adapter, recipe, "a photo", latents, "a photo", images)
    task.prompts = _Prompts(base, fixed=not task.trains_text)
    return task


def _encoded(family: Family, side: int) -> Latents:
    size = side // family.pipeline.vae_scale_factor
    channels = family.pipeline.vae.config.latent_channels
    mean, deviation = torch.empty(1, channels, size, size), torch.empty(1, channels, size, size)
    return Latents(mean, deviation, (Framing.whole(side, side),))


def _measure(task: DreamBoothTask, memory: TensorMemory, side: int, bits: int | None) -> Memory:
    """Encode a picture, take a step, and tell what each needed."""
    family, recipe, adapter = task.base.family, task.recipe, task.adapter
    parameters = list(adapter.named_parameters().values())
    weights = {name: _bytes(module) for name, module in family.components.items()}
    weights["vae"] = _bytes(family.pipeline.vae)
    own = unique_bytes(parameters)
    stored = weights[family.denoiser_name]
    saved = _saved_by_bits(family.denoiser, bits) if bits else 0
    before = memory.live
    memory.reset()
    upcast = needs_upcast(family.pipeline.vae)
    family.pipeline.vae.register_to_config(force_upcast=False)  # weights that have shapes only cannot be converted
    with torch.no_grad():
        family.encode_pictures(torch.empty(1, 3, side, side))
    encoding = _in_autoencoder(memory.peak - before, upcast, weights) + sum(weights.values()) - saved + own
    memory.reset()
    with torch.no_grad():
        family.pipeline.vae.decode(task.photos[0].mean.to(family.pipeline.vae.dtype))
    decoding = _in_autoencoder(memory.peak - before, upcast, weights) + sum(weights.values()) - saved
    attachment = Attachment(family.components).attach(adapter)
    task.attached(attachment)
    kept = memory.live - before
    for parameter in parameters:
        parameter.requires_grad_(True)
    memory.reset()
    start = memory.live
    with checkpointed(task.base, recipe.memory):
        with _autocast(recipe):
            loss = task.step(0, 0)["loss"]
        loss.backward()
    optimizer = OptimizerChoice(recipe.optimizer.name, recipe.optimizer.betas, recipe.optimizer.epsilon)
    moments = sum(state_bytes(optimizer, tuple(parameter.shape)) for parameter in parameters)
    trained = 2 * own + moments + (own if recipe.average_decay else 0)
    resident = _resident(task, weights) - saved
    grown = memory.peak - start  # activations and, in the end, gradients
    attachment.detach()
    return Memory(
        base=resident,
        adapter=trained,
        kept=kept,
        activations=max(grown - own, 0) + _unpacked(family.denoiser, bits),
        encoding=encoding if stored else 0,
        sampling=_sampling(recipe, decoding, own, trained + kept) if stored else 0,
    )


def _in_autoencoder(grown: int, upcast: bool, weights: dict[str, int]) -> int:
    """Return what a picture takes on its way through the autoencoder, which may be held in float32 meanwhile."""
    return grown * 2 + weights["vae"] if upcast else grown


def _sampling(recipe: Recipe, decoding: int, own: int, trained: int) -> int:
    """Return the peak while a picture is sampled: class images before training, others beside it."""
    samples_meanwhile = recipe.log.samples_every or (
        recipe.watch.every and (recipe.watch.subject_encoder or recipe.watch.prompt_encoder)
    )
    if samples_meanwhile:
        return decoding + trained
    return decoding + own if recipe.prior == "generated" else 0


@contextmanager
def _autocast(recipe: Recipe) -> Iterator[None]:
    dtype = _AUTOCAST.get(recipe.precision)
    with torch.autocast("cpu", dtype) if dtype else nullcontext():
        yield


def _resident(task: DreamBoothTask, weights: dict[str, int]) -> int:
    """Return the bytes of weights that stay on the device while the recipe trains."""
    if not task.recipe.memory.offload:
        return sum(weights.values())
    staying = {task.base.family.denoiser_name}
    if task.trains_text:
        staying |= set(task.base.family.text_encoders)
    return sum(size for name, size in weights.items() if name in staying)


def _bytes(weights: Weights) -> int:
    return unique_bytes([*weights.parameters(), *weights.buffers()])


def _linear_weights(model: nn.Module) -> list[Tensor]:
    return [module.weight for module in model.modules() if type(module) is nn.Linear]


def _saved_by_bits(model: nn.Module, bits: int) -> int:
    """Return the bytes that linear weights need less when they are held in fewer bits."""
    share = bits / 8 + _SCALES[bits]
    return round(sum(weight.numel() * (weight.element_size() - share) for weight in _linear_weights(model)))


def _unpacked(model: nn.Module, bits: int | None) -> int:
    """Return the bytes of the largest packed weight while it is multiplied."""
    if not bits:
        return 0
    return max(weight.numel() * weight.element_size() for weight in _linear_weights(model))


@lru_cache(maxsize=256)
def state_bytes(choice: OptimizerChoice, shape: tuple[int, ...]) -> int:
    """Step a parameter of a shape (or a part of a large one) once, and return the bytes of the optimiser's state."""
    numbers = torch.Size(shape).numel()
    rows = max(1, shape[0] * _SAMPLE // numbers) if numbers > _SAMPLE else shape[0]
    with unset_fake_temporarily():
        parameter = nn.Parameter(torch.ones(rows, *shape[1:]))
        optimizer = build_optimizer([{"params": [parameter], "lr": 1.0, "weight_decay": 0.0}], choice)
        parameter.grad = torch.ones_like(parameter)
        optimizer.step()
        state = [value for value in optimizer.state[parameter].values() if isinstance(value, Tensor) and value.ndim]
        return unique_bytes(state) * numbers // parameter.numel()
