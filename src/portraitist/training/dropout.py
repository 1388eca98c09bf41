"""Leaving parts of an adapter out at random while it is trained, so that it cannot lean on any of them.

``branch`` zeroes numbers of the change of a layer's output (sd-scripts' ``network_dropout`` and PEFT's ``lora_dropout``
do so within a LoRA; here it is one place for every method), ``layers`` leaves the change of whole layers out of a step
(``module_dropout``). Both hold for one step; pictures, judgements and files know nothing of them.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from portraitist.adapters.spec import LayerSpec
from portraitist.randomness import torch_generator
from portraitist.training.loop.processes import Processes
from portraitist.training.recipes import Recipe
from portraitist.training.tasks import AdapterTask, WrappedTask


class WithDropout(WrappedTask):
    """A task whose adapter acts in part while it is trained.

    What is left out is a function of seed, step and layer: nothing has to be kept for resuming, and activations that
    are computed once more for the backward pass are the same.

    Args:
        task: The task, whose identity holds the recipe.
        recipe: Says how much is left out.
    """

    def __init__(self, task: AdapterTask, recipe: Recipe) -> None:
        super().__init__(task)
        self.recipe, self.processes = recipe, Processes.current()

    def step(self, step: int, micro_step: int) -> Mapping[str, Tensor]:
        """Do the task's step with a part of the adapter."""
        assert self.attachment is not None
        index = step * self.recipe.accumulate + micro_step

        def where(spec: LayerSpec, y: Tensor) -> Tensor | float:
            return self._share(index, spec, y)

        self.attachment.confine(where, self.attachment.names[0])
        return super().step(step, micro_step)

    def after_step(self) -> None:
        """Let all of the adapter act again."""
        assert self.attachment is not None
        self.attachment.confine(None, self.attachment.names[0])
        super().after_step()

    def _share(self, index: int, spec: LayerSpec, y: Tensor) -> Tensor | float:
        """Return how much of each number of a layer's change counts."""
        dropout, seed = self.recipe.dropout, self.recipe.seed
        if dropout.layers:
            drawn = torch.rand((), generator=torch_generator(seed, f"layers {spec.name}", index))
            if float(drawn) < dropout.layers:
                return 0.0
        if not dropout.branch:
            return 1.0
        # Each process has samples of its own.
        stream = torch_generator(seed, f"branch {self.processes.rank} {spec.name}", index, y.device.type)
        kept = torch.rand(y.shape, generator=stream, device=y.device) >= dropout.branch
        return kept.to(y.dtype) / (1 - dropout.branch)
