"""Rank by timestep: the noisier a sample, the less of a LoRA's rank it teaches (T-LoRA, arXiv 2507.05964, section 3.1).

A single photo is overfitted where most noise is: there its place and background are decided. T-LoRA keeps most of the
rank from being taught there, and from acting there when pictures are made. Our files are ordinary LoRAs, whose whole
rank acts at every timestep; only what is learnt differs. T-LoRA's orthogonal start is not ours.
"""

from typing import Any

import torch
from torch import Tensor

from portraitist.adapters import Adapter
from portraitist.bases import Base
from portraitist.training.dreambooth import DreamBoothTask
from portraitist.training.tasks import WrappedTask

_DOWN = "down"


def ranks_at(timesteps: Tensor, total: int, rank: int, least: int) -> Tensor:
    """Return how much rank each timestep has: ``floor((rank - least) (total - t) / total) + least`` (equation 3)."""
    share = (total - timesteps.float()) / total
    return ((rank - least) * share).floor().long().clamp(0, rank - least) + least


class RankByTimestep(WrappedTask):
    """A DreamBooth task on a LoRA that gives each sample of a step as much rank as its noise allows.

    Text encoders, which do not know how noisy a sample is, have all of it.

    Args:
        base: The base.
        adapter: The LoRA that the task trains.
        task: The task, without class images.
        least: Rank of pure noise.
    """

    def __init__(self, base: Base, adapter: Adapter, task: DreamBoothTask, least: int) -> None:
        super().__init__(task)
        self.base, self.adapter, self.least = base, adapter, least
        self.rank = int(adapter.config.rank)  # type: ignore[attr-defined]
        task.prepare = self._limit

    def identity(self) -> dict[str, Any]:
        """Return the task's facts and the least rank."""
        return {**super().identity(), "least_rank": self.least}

    def after_step(self) -> None:
        """Give the LoRA all of its rank back."""
        assert self.attachment is not None
        self.attachment.feed(self.attachment.names[0], None)
        super().after_step()

    def _limit(self, timesteps: Tensor) -> None:
        """Feed a bank: for each sample the LoRA, its later directions taken away as far as the sample is noisy."""
        assert self.attachment is not None
        total = int(self.base.pipeline.scheduler.config.num_train_timesteps)
        ranks = ranks_at(timesteps, total, self.rank, self.least)
        kept = torch.arange(self.rank) < ranks[:, None]  # [n, rank]
        values = {}
        for layer, tensors in self.adapter.values.items():
            bank = {key: value.expand(len(timesteps), *value.shape) for key, value in tensors.items()}
            if layer.partition(".")[0] not in self.base.family.text_encoders:
                bank[_DOWN] = bank[_DOWN] * kept[:, :, None].to(bank[_DOWN])
            values[layer] = bank
        self.attachment.feed(self.attachment.names[0], values)
