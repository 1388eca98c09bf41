"""The losses that a run shows: means that no batch dominates."""

import pytest
import torch

from portraitist.training.loop.losses import Losses
from portraitist.training.loop.processes import Processes


def shown(values: list[float]) -> list[float]:
    losses, means = Losses(Processes.current(), "cpu"), []
    for step, value in enumerate(values):
        losses.add(step, {"loss": torch.tensor(value)}, 1.0)
        losses.finish(step)
        means.append(losses.means["loss"])
    return means


def test_the_first_batch_counts_no_more_than_others() -> None:
    """A first batch that happens to be easy must not make a falling loss look like a rising one."""
    means = shown([0.0] + [1.0] * 9)
    assert means[-1] == pytest.approx(0.9, abs=0.02)
    falling = shown([0.02] + [0.1 - 0.0005 * step for step in range(100)])
    assert falling[-1] < falling[10]


def test_old_values_fade() -> None:
    assert shown([1.0] * 20 + [0.0] * 300)[-1] < 0.01
