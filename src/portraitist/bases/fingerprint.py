"""Telling bases apart, and knowing one again that is stored in another precision."""

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor

from portraitist.bases.pipelines import Weights

_SAMPLES_PER_TENSOR = 16
_DIGEST = 5
_PRECISIONS = (torch.bfloat16, torch.float16)


def fingerprint(components: Mapping[str, Weights]) -> str:
    """Hash the names, shapes and some values of all weights.

    The result has three parts: names and shapes; values rounded to bfloat16; values rounded to float16.
    `portraitist.fingerprints` compares them.

    Returns:
        Three hexadecimal numbers with hyphens between them.
    """
    structure = hashlib.blake2b(digest_size=_DIGEST)
    samples: list[Tensor] = []
    for component, module in sorted(components.items()):
        for name, tensor in sorted(module.state_dict().items()):
            if tensor.is_floating_point():
                structure.update(f"{component}.{name}{tuple(tensor.shape)}".encode())
                samples.append(_sample(tensor))
    parts = [structure.hexdigest()]
    for precision in _PRECISIONS:
        # float32 holds every value of both precisions; adding zero makes one zero of two.
        rounded = torch.cat([each.to(precision).float() for each in samples]) + 0.0
        parts.append(hashlib.blake2b(rounded.cpu().numpy().tobytes(), digest_size=_DIGEST).hexdigest())
    return "-".join(parts)


def _sample(tensor: Tensor) -> Tensor:
    """Return a few values from all over a tensor, whatever its layout in memory."""
    count = tensor.numel()
    flat = tensor.detach().reshape(-1) if tensor.is_contiguous() else tensor.detach().contiguous().reshape(-1)
    return flat[:: max(1, count // _SAMPLES_PER_TENSOR)][:_SAMPLES_PER_TENSOR].float()
