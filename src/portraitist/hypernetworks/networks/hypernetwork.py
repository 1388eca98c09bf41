"""The hypernetwork of HyperDreamBooth: photos' features to the numbers of an adapter (arXiv 2307.06949, section 4.2).

One token a layer goes through a transformer decoder that looks at the photos; the decoder is run several times, each
time on its estimate so far, and adds to it. A token starts from its layer's position and a summary of the whole memory:
without the summary, which is ours, tokens of different people differ little at first, and all learn one adapter.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from portraitist.hypernetworks.networks.layerwise import Layerwise
from portraitist.hypernetworks.networks.memory import Features, Memory, Shapes

_START = 0.1


@dataclass(frozen=True)
class Build:
    """What a network is built from.

    Attributes:
        shapes: What the features of a photo are.
        sizes: How many numbers each layer has, in the order of a space's flat vector.
        width: Width of the decoder; the paper's is that of a layer's numbers, ours its own.
        blocks: Decoder layers; two in the paper.
        heads: Attention heads.
        iterations: How often the estimate is refined.
        head_deviation: Deviation of the heads at the start: 1e-3 by the paper's first author, since a change that is a
            product of two zeros would never learn.
    """

    shapes: Shapes
    sizes: tuple[int, ...]
    width: int
    blocks: int
    heads: int
    iterations: int
    head_deviation: float = 1e-3


class Hypernetwork(nn.Module):
    """Features to adapters: ``[n, photos, tokens, width]`` by source to ``[n, P]``."""

    def __init__(self, build: Build) -> None:
        super().__init__()
        layers, largest = len(build.sizes), max(build.sizes)
        self.build = build
        self.memory = Memory(build.shapes, build.width)
        self.positions = nn.Parameter(torch.randn(layers, build.width) * _START)
        self.summary = nn.Linear(len(build.shapes) * build.width, build.width)
        self.estimate = Layerwise(layers, largest, build.width, largest**-0.5)
        block = nn.TransformerDecoderLayer(
            build.width, build.heads, 4 * build.width, 0.0, "gelu", batch_first=True, norm_first=True
        )
        self.decoder = nn.TransformerDecoder(block, build.blocks, nn.LayerNorm(build.width))
        self.heads = Layerwise(layers, build.width, largest, build.head_deviation)

    def forward(self, features: Features, unknown: Tensor | None = None) -> Tensor:
        """Return the numbers of an adapter for each person, ``[n, P]``.

        Args:
            features: Of the photos of n persons.
            unknown: Whose photos are taken away, ``[n]``: these get the adapter of nobody in particular.
        """
        memory, means = self.memory(features, unknown)
        known = self.positions + self.summary(means).unsqueeze(1)
        values = memory.new_zeros(len(memory), *self.heads.bias.shape)
        for _ in range(self.build.iterations):
            tokens = known + self.estimate(values)
            values = values + self.heads(self.decoder(tokens, memory))
        return _flat(values, self.build.sizes)


def _flat(values: Tensor, sizes: Sequence[int]) -> Tensor:
    """Return the numbers of all layers side by side, without what the smaller ones do not need."""
    if min(sizes) == values.shape[-1]:
        return values.flatten(1)
    return torch.cat([values[:, layer, :size] for layer, size in enumerate(sizes)], 1)
