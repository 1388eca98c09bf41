"""Counting tensors' memory: what lives, what lived at most, views counted once."""

import torch
from torch._subclasses import FakeTensorMode

from portraitist.training.planning.tensor_memory import TensorMemory, unique_bytes


def test_tensors_are_counted_while_they_live() -> None:
    with TensorMemory() as memory:
        first = torch.zeros(1000)
        assert (memory.live, memory.peak) == (4000, 4000)
        second = first + 1
        view = second[:10].reshape(2, 5)
        assert (memory.live, memory.peak) == (8000, 8000)
        del second
        assert memory.live == 8000, "a view keeps its storage"
        del view
        assert (memory.live, memory.peak) == (4000, 8000)
        memory.reset()
        assert memory.peak == 4000


def test_what_a_backward_pass_keeps_is_counted() -> None:
    """Ten layers of ``tanh`` keep their ten outputs; two more are there while gradients pass."""
    weight = torch.ones(100_000, requires_grad=True)
    with TensorMemory() as memory:
        x = weight
        for _ in range(10):
            x = x.tanh()
        loss = x.sum()
        del x
        assert memory.live == 10 * 400_000 + 4
        loss.backward()
        assert memory.peak <= 12 * 400_000 + 8


def test_shapes_without_numbers_count_the_same() -> None:
    with FakeTensorMode(), TensorMemory() as memory:
        kept = torch.zeros(10**12, dtype=torch.float16)
        assert memory.live == 2 * 10**12
        assert unique_bytes([kept, kept[:5]]) == 2 * 10**12
