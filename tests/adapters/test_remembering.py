"""Tensors are remembered up to a number of bytes, the latest longest."""

import torch
from torch import Tensor

from portraitist.adapters.remembering import remembered


def test_the_oldest_are_forgotten_beyond_the_bytes() -> None:
    made: list[int] = []

    @remembered(100)
    def make(size: int) -> Tensor:
        made.append(size)
        return torch.zeros(size)

    for size in (10, 11, 10, 12, 10, 11):  # 40, 44 and 48 bytes
        make(size)
    assert made == [10, 11, 12, 11]
    make(1000)
    make(1000)
    assert made[-2:] == [1000, 1000], "larger than all that is kept"
    make.cache_clear()
    make(11)
    assert made[-1] == 11
