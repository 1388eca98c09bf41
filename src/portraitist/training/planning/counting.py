"""Counting a run's footprint: one training step on tensors that have shapes but no numbers.

The code that trains is run in PyTorch's fake tensor mode, and every storage is counted while it lives. What a library
keeps out of sight (workspaces, a CUDA context) is not in it.
"""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import unset_fake_temporarily

from portraitist.adapters import Adapter, Attachment, Kind
from portraitist.bases import Base
from portraitist.bases.families import Conditions, Family, Framing, needs_upcast
from portraitist.bases.pipelines import Weights
from portraitist.errors import BadConfig
from portraitist.training.dreambooth import DreamBoothTask
from portraitist.training.inputs.conditions import PromptBook
from portraitist.training.inputs.latents import Latents
from portraitist.training.loop.optimizers import SMALLEST_8BIT, OptimizerChoice, build_optimizer
from portraitist.training.memory import checkpointed
from portraitist.training.planning.memory import Footprint, Trained
from portraitist.training.planning.tensor_memory import TensorMemory, unique_bytes
from portraitist.training.recipes import Recipe
from portraitist.training.recipes.groups import MemorySettings

# Larger parameters' optimiser state is measured on so many of their numbers.
_SAMPLE = 2**20
_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}
# bitsandbytes keeps two moments of a byte a number, and a float32 scale for each of them and 256 numbers.
_BLOCK, _FLOAT32 = 256, 4


class _Prompts(PromptBook):
    """Encodes prompts as a run does, and keeps nothing on disk."""

    def _encode_fixed(self, prompt: str) -> Conditions:
        with torch.no_grad():
            return self.base.family.encode_prompts([prompt])


def count_footprint(base: Base, adapter: Adapter, recipe: Recipe, memory: TensorMemory) -> Footprint:
    """Encode a picture and take a step, with and without checkpoints, and tell what each needed.

    Args:
        base: A base whose tensors are fake.
        adapter: An adapter with such parameters, not attached.
        recipe: How it is trained.
        memory: What counts.
    """
    family = base.family
    parameters = list(adapter.named_parameters().values())
    weights = {name: _bytes(module) for name, module in family.components.items()}
    weights["vae"] = _bytes(family.pipeline.vae)
    encoding, decoding = _count_autoencoder(family, memory, weights["vae"])
    task = _task(base, adapter, recipe)
    before = memory.live
    attachment = Attachment(family.components).attach(adapter)
    task.attached(attachment)
    kept = memory.live - before
    for parameter in parameters:
        parameter.requires_grad_(True)
    plain, again = (_count_step(task, memory, parameters, on) for on in (False, True))
    attachment.detach()
    linear = [module.weight for module in family.denoiser.modules() if type(module) is nn.Linear]
    width = family.dtype.itemsize
    return Footprint(
        batch_size=recipe.batch_size,
        resolution=family.resolution,
        weights=weights,
        staying=(family.denoiser_name, *(family.text_encoders if task.trains_text else ())),
        linear=sum(weight.numel() for weight in linear),
        width=width,
        largest=max(weight.numel() * width for weight in linear),
        kept=kept,
        plain=plain,
        checkpointed=again,
        resolution_step=family.resolution_step,
        text=family.text_positions,
        encoding=encoding,
        decoding=decoding,
    )


def describe_training(adapter: Adapter, recipe: Recipe) -> Trained:
    """Return what a recipe trains, in the optimisers there are to choose from."""
    parameters = list(adapter.named_parameters().values())
    watched = recipe.watch.every and (recipe.watch.subject_encoder or recipe.watch.prompt_encoder)
    meanwhile = bool(recipe.log.samples_every or watched)
    return Trained(
        parameters=unique_bytes(parameters),
        moments={name: _moments(recipe, name, parameters) for name in (recipe.optimizer.name, "adamw8bit")},
        averaged=recipe.average_decay > 0,
        sampled="during" if meanwhile else "before" if recipe.prior == "generated" else "never",
    )


def can_pack(adapter: Adapter, denoiser: str) -> bool:
    """Say whether a method can do with a denoiser's linear weights in fewer bits."""
    packed = torch.empty(0, dtype=torch.uint8)
    try:
        for name, layer in adapter.layers.items():
            if layer.spec.kind is Kind.LINEAR and name.startswith(f"{denoiser}."):
                copy.copy(layer).bind(packed, None)
    except BadConfig:
        return False
    return True


def _count_autoencoder(family: Family, memory: TensorMemory, weights: int) -> tuple[int, int]:
    """Return what a picture takes on its way in and out; in float32 where half precision overflows."""
    vae, side = family.pipeline.vae, family.resolution
    upcast = needs_upcast(vae)
    vae.register_to_config(force_upcast=False)  # weights that have shapes only cannot be converted
    grown = []
    size, channels = side // family.pipeline.vae_scale_factor, vae.config.latent_channels
    with torch.no_grad():
        before = memory.reset()
        family.encode_pictures(torch.empty(1, 3, side, side))
        grown.append(memory.peak - before)
        before = memory.reset()
        vae.decode(torch.empty(1, channels, size, size, dtype=vae.dtype))
        grown.append(memory.peak - before)
    encoding, decoding = (each * 2 + weights if upcast else each for each in grown)
    return encoding, decoding


def _task(base: Base, adapter: Adapter, recipe: Recipe) -> DreamBoothTask:
    """Return what a run trains, on one picture of each kind."""
    pipeline, side = base.family.pipeline, base.family.resolution
    size, channels = side // pipeline.vae_scale_factor, pipeline.vae.config.latent_channels
    mean, deviation = torch.empty(1, channels, size, size), torch.empty(1, channels, size, size)
    latents = Latents(mean, deviation, (Framing.whole(side, side),))
    images = latents if recipe.prior in ("generated", "given") else None
    task = DreamBoothTask(base, adapter, recipe, "a photo", latents, "a photo", images)
    task.prompts = _Prompts(base, fixed=not task.trains_text)
    return task


def _count_step(task: DreamBoothTask, memory: TensorMemory, parameters: Sequence[Tensor], again: bool) -> int:
    """Return what a step takes above everything that stays, and above the gradients it leaves."""
    before = memory.reset()
    with checkpointed(task.base, MemorySettings(checkpoint_activations=again)):
        with _autocast(task.recipe):
            loss = task.step(0, 0)["loss"]
        loss.backward()
    for parameter in parameters:
        parameter.grad = None
    return max(memory.peak - before - unique_bytes(parameters), 0)


@contextmanager
def _autocast(recipe: Recipe) -> Iterator[None]:
    dtype = _AUTOCAST.get(recipe.precision)
    with torch.autocast("cpu", dtype) if dtype else nullcontext():
        yield


def _bytes(weights: Weights) -> int:
    return unique_bytes([*weights.parameters(), *weights.buffers()])


def _moments(recipe: Recipe, name: str, parameters: Sequence[Tensor]) -> int:
    """Return the bytes of the state that an optimiser keeps of all parameters."""
    choice = OptimizerChoice(name, recipe.optimizer.betas, recipe.optimizer.epsilon)  # type: ignore[arg-type]
    return sum(state_bytes(choice, tuple(parameter.shape)) for parameter in parameters)


@lru_cache(maxsize=256)
def state_bytes(choice: OptimizerChoice, shape: tuple[int, ...]) -> int:
    """Return the bytes of an optimiser's state for a parameter of a shape.

    Of AdamW they are known; of others a parameter (or a part of a large one) is stepped once.
    """
    numbers = torch.Size(shape).numel()
    if choice.name == "adamw" or (choice.name == "adamw8bit" and numbers < SMALLEST_8BIT):
        return 2 * _FLOAT32 * numbers
    if choice.name == "adamw8bit":
        return 2 * (numbers + _FLOAT32 * -(-numbers // _BLOCK))
    rows = max(1, shape[0] * _SAMPLE // numbers) if numbers > _SAMPLE else shape[0]
    with unset_fake_temporarily():
        parameter = nn.Parameter(torch.ones(rows, *shape[1:]))
        optimizer = build_optimizer([{"params": [parameter], "lr": 1.0, "weight_decay": 0.0}], choice)
        parameter.grad = torch.ones_like(parameter)
        optimizer.step()
        state = [value for value in optimizer.state[parameter].values() if isinstance(value, Tensor) and value.ndim]
        return unique_bytes(state) * numbers // parameter.numel()
