"""The exponential moving average of a run's parameters, where one is kept."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from diffusers.training_utils import EMAModel
from torch import Tensor, nn


def new_average(parameters: Mapping[str, nn.Parameter], decay: float) -> EMAModel | None:
    """Begin an average with the parameters as they are; None without a decay."""
    if not decay:
        return None
    on_cpu = next(iter(parameters.values())).device.type == "cpu"
    return EMAModel(parameters.values(), decay=decay, use_ema_warmup=True, power=0.75, foreach=not on_cpu)


def restore_average(
    average: EMAModel, parameters: Mapping[str, nn.Parameter], values: Mapping[str, Tensor], steps: int
) -> None:
    """Go on with an average from a checkpoint, after so many steps of it."""
    average.optimization_step = steps
    for shadow, name in zip(average.shadow_params, parameters, strict=True):
        shadow.copy_(values[name])


@contextmanager
def in_place(average: EMAModel | None, parameters: Mapping[str, nn.Parameter]) -> Iterator[None]:
    """Put the averaged parameters in place for a while; no change where no average is kept."""
    if average is None:
        yield
        return
    average.store(parameters.values())
    average.copy_to(parameters.values())
    try:
        yield
    finally:
        average.restore(parameters.values())
