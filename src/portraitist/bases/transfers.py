"""Sending tensors to a device without waiting for it."""

import torch
from torch import Tensor


def sent(tensor: Tensor, device: torch.device | str, dtype: torch.dtype | None = None) -> Tensor:
    """Return a tensor on a device; the program goes on while the device is still busy with what it got before.

    What lies in ordinary memory is read before this returns, so it may be changed at once. Nothing is sent back this
    way, as that would be read too early; nor to Apple's GPUs, which read the memory later.

    Args:
        tensor: On the CPU, or on the device already.
        device: Where to.
        dtype: In which precision; its own when not given.
    """
    place = torch.device(device)
    ahead = tensor.device.type == "cpu" and place.type != "mps"
    return tensor.to(place, dtype or tensor.dtype, non_blocking=ahead)
