"""LoRAs of a few small layers, as vectors that lie in a plane of few directions, for tests of networks on weights."""

import torch
from torch import Tensor

from portraitist.adapters import LayerSpec
from portraitist.adapters.spec import Kind
from portraitist.hypernetworks.weights.layout import WeightLayout

RANK = 2
SPECS = [
    LayerSpec("unet.b.to_q", Kind.LINEAR, (12, 8)),
    LayerSpec("unet.a.to_q", Kind.LINEAR, (10, 6)),
]


def layout(shared_a: bool = False) -> WeightLayout:
    generator = torch.Generator().manual_seed(0)
    common = {spec.name: torch.randn(RANK, spec.in_features, generator=generator) for spec in SPECS}
    return WeightLayout(SPECS, RANK, common if shared_a else None)


def loras(count: int, seed: int = 0, directions: int = 3, shared_a: bool = False) -> Tensor:
    """Return vectors ``[count, P]``: a mean and a few directions that all share."""
    shared = torch.Generator().manual_seed(99)
    size = layout(shared_a).count
    mean, basis = torch.randn(size, generator=shared), torch.randn(directions, size, generator=shared)
    return mean + torch.randn(count, directions, generator=torch.Generator().manual_seed(seed)) @ basis
