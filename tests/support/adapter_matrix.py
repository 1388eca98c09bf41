"""Every method on every kind of layer it adapts, for properties that all of them have."""

import pytest
import torch
from torch import Tensor, nn

from portraitist.adapters import Adapter, find_layers, list_methods
from portraitist.adapters.spec import Kind

CONFIGS = {
    "lora": {"rank": 3, "alpha": 2.0},
    "krona": {"out_factor": 2, "in_factor": 4, "scale": 0.7},
    "lidb": {"a": 6, "b": 5, "rank": 2},
    "svdiff": {"leak": 0.1},
    "textual-inversion": {"token_ids": (2, 7, 5)},
    "dora": {"rank": 3, "alpha": 2.0},
    "loha": {"rank": 3, "alpha": 2.0},
    "full": {},
}


class Layers(nn.Module):
    """One layer of each adaptable kind, each reached by its own input."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(12, 8)
        self.wide_linear = nn.Linear(12, 20)
        self.conv1x1 = nn.Conv2d(4, 6, 1)
        self.conv3x3 = nn.Conv2d(4, 6, 3, stride=2, padding=1)
        self.grouped = nn.Conv2d(4, 6, 3, groups=2)
        self.transposed = nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1)
        self.group_norm = nn.GroupNorm(2, 4)
        self.layer_norm = nn.LayerNorm(12)
        self.embedding = nn.Embedding(10, 6)
        self.short_embedding = nn.Embedding(10, 12)


def sample_input(name: str, batch: int, generator: torch.Generator) -> Tensor:
    if name in ("linear", "wide_linear", "layer_norm"):
        return torch.randn(batch, 5, 12, generator=generator)
    if name in ("embedding", "short_embedding"):
        return torch.stack([torch.randperm(10, generator=generator) for _ in range(batch)])
    return torch.randn(batch, 4, 7, 7, generator=generator)


KINDS = {
    "linear": Kind.LINEAR,
    "wide_linear": Kind.LINEAR,
    "conv1x1": Kind.CONV,
    "conv3x3": Kind.CONV,
    "grouped": Kind.CONV,
    "transposed": Kind.TRANSPOSED,
    "group_norm": Kind.NORM,
    "layer_norm": Kind.NORM,
    "embedding": Kind.EMBEDDING,
    "short_embedding": Kind.EMBEDDING,
}
# Methods that adapt convolutions with groups; the others say that they do not.
GROUPED = ("svdiff", "full")
MATRIX = [
    pytest.param(method.name, layer, id=f"{method.name}-{layer}")
    for method in list_methods()
    for layer, kind in KINDS.items()
    if kind in method.layers and (layer != "grouped" or method.name in GROUPED)
]


def make(model: nn.Module, method: str, layer: str, generator: torch.Generator, bank: int = 0) -> Adapter:
    """Return an adapter with random parameters, perhaps with a bank axis."""
    adapter = Adapter.create(method, CONFIGS[method], find_layers({"m": model}, [f"m.{layer}"]), generator)
    for tensors in adapter.values.values():
        for key, value in tensors.items():
            shape = (bank, *value.shape) if bank else value.shape
            tensors[key] = nn.Parameter(0.3 * torch.randn(shape, generator=generator))
    return adapter
