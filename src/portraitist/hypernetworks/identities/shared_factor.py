"""The factor A that LoRA targets share, learnt before them by several identities together.

Each of them has a B of its own; A is moved by the mean of all their gradients. Targets that start from it and leave it
as it is need half of the steps that they need with a random A, and resemble each other more where identities do, since
all choose among the directions that identities of the kind need (ours; HyperDreamBooth's auxiliary bases are random,
arXiv 2307.06949, section 4.1).
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from portraitist.adapters import Adapter, attached
from portraitist.adapters.banks import stack
from portraitist.bases import Base
from portraitist.bases.precision import quick_float32
from portraitist.errors import BadConfig, BadFile
from portraitist.hypernetworks.identities.shards import TARGETS, write_shard
from portraitist.hypernetworks.identities.targets import FACTOR_A, TargetTask
from portraitist.training.blank_adapters import blank_adapter
from portraitist.training.fitting import loop_config
from portraitist.training.inputs.latents import Latents
from portraitist.training.loop.loop import Loop
from portraitist.training.recipes import Recipe

FILE = "factor-a.safetensors"


def _blank(base: Base, recipe: Recipe) -> Adapter:
    return blank_adapter(base, recipe, recipe.method_config)


class SharedFactorTask(TargetTask):
    """Fit LoRAs of several identities that have one factor A in common."""

    def __init__(self, base: Base, recipe: Recipe, latents: Sequence[Latents]) -> None:
        bank = stack([_blank(base, recipe)] * len(latents)).to(base.device)
        super().__init__(base, bank, recipe, latents)
        self._factors = {layer: params[FACTOR_A] for layer, params in bank.values.items()}
        for factor in self._factors.values():
            factor.register_hook(lambda gradient: gradient.mean(0, keepdim=True).expand_as(gradient).contiguous())

    @torch.no_grad()
    def after_step(self) -> None:
        """Keep A one and the same, though the gradients of some identities are cut and those of others are not."""
        for factor in self._factors.values():
            factor.copy_(factor.mean(0, keepdim=True).expand_as(factor))

    def factors(self) -> dict[str, Tensor]:
        """Return A by layer, ``[rank, inputs]``."""
        return {layer: factor[0].detach().cpu().clone() for layer, factor in self._factors.items()}


def learn_factor(base: Base, recipe: Recipe, latents: Sequence[Latents], steps: int) -> dict[str, Tensor]:
    """Return the factor A of every layer, ``[rank, inputs]``, learnt by some identities together.

    Args:
        base: The base; it is left as found.
        recipe: That of the targets; of each identity a step takes one photo.
        latents: Of the photos of each, with a prompt each.
        steps: Optimiser steps.

    Raises:
        TrainingDiverged: If no identity's loss stays finite.
    """
    task = SharedFactorTask(base, recipe.replace({"steps": steps, "batch_size": 1}), latents)
    with attached(base.components, task.bank), quick_float32(base.device):
        loop = Loop(task, loop_config(task.recipe, base), description=f"factor A of {len(latents)} identities")
        loop.run()
        loop.keep()
    return task.factors()


def write_factor(folder: Path, factors: Mapping[str, Tensor]) -> None:
    """Write A into a set's folder."""
    write_shard(folder / FILE, factors)


def has_factor(folder: Path) -> bool:
    """Say whether there is an A in a set's folder."""
    return (folder / FILE).exists()


def read_factor(folder: Path) -> dict[str, Tensor]:
    """Return a set's A by layer.

    Raises:
        BadFile: If the set has none, or it is damaged.
    """
    try:
        return load_file(folder / FILE)
    except FileNotFoundError as error:
        raise BadFile(
            f"{folder} has no learned factor A; sets have one whose LoRA targets are made with --learned-a"
        ) from error
    except (OSError, SafetensorError) as error:
        raise BadFile(
            f"{folder / FILE} is damaged ({error}); delete it and the folder {folder / TARGETS}, and run the command"
            " that made the set again"
        ) from error


def check_factor(factors: Mapping[str, Tensor], base: Base, recipe: Recipe) -> None:
    """Refuse another set's A that targets of a recipe cannot have.

    Raises:
        BadConfig: If it is of other layers, or of another rank.
    """
    wanted = {layer: params[FACTOR_A].shape for layer, params in _blank(base, recipe).values.items()}
    if {layer: factor.shape for layer, factor in factors.items()} != wanted:
        raise BadConfig(
            "the factor A of that set is of other layers or of another rank; make these targets with the same base,"
            " `--set layers=..` and `--set method_config.rank=..`"
        )


def factor_hash(factors: Mapping[str, Tensor]) -> str:
    """Return a short hash of A."""
    digest = hashlib.sha256()
    for layer, factor in sorted(factors.items()):
        digest.update(layer.encode() + factor.contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
