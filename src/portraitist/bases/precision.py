"""The precision in which a frozen base is held when nobody chose one."""

import torch


def usual_precision(device: str | torch.device) -> torch.dtype:
    """Return bfloat16 on a GPU that computes in it, float16 on one that does not, and float32 everywhere else.

    Half the memory of float32 and several times its speed, and what published models are trained in; adapters stay in
    float32. On processors, and on Apple's GPUs, where half precisions lack kernels or gain nothing, float32 it is.

    Args:
        device: Where the base goes.
    """
    if torch.device(device).type != "cuda":
        return torch.float32
    return torch.bfloat16 if _computes_in_bfloat16(torch.device(device)) else torch.float16


def _computes_in_bfloat16(device: torch.device) -> bool:
    """Say whether a GPU has bfloat16 in hardware; emulated, it is slower than float32."""
    with torch.cuda.device(device):
        return torch.cuda.is_bf16_supported(including_emulation=False)
