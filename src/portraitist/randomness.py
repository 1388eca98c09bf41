"""Named random streams: every purpose has its own generator, derived from the run's seed.

A stream is a pure function of ``(seed, purpose, step)``, so nothing about randomness has to be saved: a run resumed
at step *k* draws at step *k* exactly what the uninterrupted run drew, on any number of processes.
"""

import hashlib

import numpy as np
import torch


def derive_seed(seed: int, purpose: str, step: int = 0) -> int:
    """Return a 63-bit seed for one purpose at one step of a run."""
    digest = hashlib.blake2b(f"{seed}/{purpose}/{step}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def torch_generator(seed: int, purpose: str, step: int = 0, device: str = "cpu") -> torch.Generator:
    """Return a generator for one purpose at one step of a run; each kind of device draws numbers of its own."""
    return torch.Generator(device).manual_seed(derive_seed(seed, purpose, step))


def numpy_generator(seed: int, purpose: str, step: int = 0) -> np.random.Generator:
    """Return a NumPy generator for one purpose at one step of a run."""
    return np.random.default_rng(derive_seed(seed, purpose, step))


def epoch_order(count: int, seed: int, purpose: str, start: int, size: int) -> np.ndarray:
    """Return positions ``start .. start + size`` of an endless stream of shuffled epochs.

    Args:
        count: How many items an epoch holds.
        seed: The run's seed.
        purpose: Name of the stream.
        start: First position in the stream, usually ``step * batch_size``.
        size: How many items to return.

    Returns:
        Item indices, shape ``[size]``; every item appears once in each epoch.
    """
    if count < 1:
        raise ValueError("an epoch needs at least one item")
    positions = np.arange(start, start + size)
    orders = {
        epoch: numpy_generator(seed, purpose, int(epoch)).permutation(count) for epoch in np.unique(positions // count)
    }
    return np.array([orders[position // count][position % count] for position in positions])
