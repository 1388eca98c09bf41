"""The precision in which a frozen base is held, and one computes, when nobody chose one."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from portraitist.bases.cards import Card


def usual_precision(device: str | torch.device) -> torch.dtype:
    """Return bfloat16 on a GPU that computes in it, float16 on one that does not, and float32 everywhere else.

    Half the memory of float32 and several times its speed, and what published models are trained in; adapters stay in
    float32. On processors, and on Apple's GPUs, where half precisions lack kernels or gain nothing, float32 it is.

    Args:
        device: Where the base goes.
    """
    card = Card.of(device)
    return torch.float32 if card is None else card.half


@contextmanager
def quick_float32(device: str | torch.device) -> Iterator[None]:
    """Multiply float32 in TF32 for a while, on a GPU that can; what was set before comes back.

    TF32 has float32's range and ten bits of fraction, as many as float16: enough for a training step, whose noise is
    larger, and not for what is written down once, such as decompositions, merged weights and conversions.

    Args:
        device: Where one computes.
    """
    card = Card.of(device)
    if card is None or not card.tf32:
        yield
        return
    products, convolutions = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.allow_tf32 = True
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(products)
        torch.backends.cudnn.allow_tf32 = convolutions
