"""Which batch size a machine likes: a few steps at each, and the smallest that is nearly as fast as the fastest."""

import time
from collections.abc import Callable, Sequence

import torch

from portraitist.training.loop.contracts import LoopConfig, Task
from portraitist.training.loop.loop import Loop

_WARM_STEPS, _TIMED_STEPS = 3, 10
_NEARLY = 0.93


def measure(task: Task, config: LoopConfig, samples: int) -> float:
    """Return samples a second of a task whose steps see so many; its parameters are trained a little on the way."""
    settings = {**vars(config), "seconds": None, "schedule": "constant", "log_every": 10**9}
    Loop(task, LoopConfig(**{**settings, "steps": _WARM_STEPS}), description="warming up").run()
    loop = Loop(task, LoopConfig(**{**settings, "steps": _TIMED_STEPS}), description="timing")
    _wait(loop)
    began = time.perf_counter()
    loop.run()
    _wait(loop)
    return _TIMED_STEPS * samples / (time.perf_counter() - began)


def choose_batch_size(rate: Callable[[int], float], sizes: Sequence[int]) -> tuple[int, dict[int, float]]:
    """Return the smallest batch size that is nearly as fast as the fastest, and samples a second of those tried.

    Args:
        rate: Measures samples a second at a batch size.
        sizes: Sizes to try; a size for which there is no memory ends the trial.
    """
    rates: dict[int, float] = {}
    for size in sorted(sizes):
        try:
            rates[size] = rate(size)
        except torch.OutOfMemoryError:
            break
    fastest = max(rates.values())
    return next(size for size, value in rates.items() if value >= _NEARLY * fastest), rates


def _wait(loop: Loop) -> None:
    device = next(iter(loop.parameters.values())).device
    if device.type == "cuda":
        torch.cuda.synchronize(device)
