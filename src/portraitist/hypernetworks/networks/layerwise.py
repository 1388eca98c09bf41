"""Linear maps of which every adapted layer has its own."""

import torch
from torch import Tensor, nn


class Layerwise(nn.Module):
    """A linear map for each of L tokens: ``[n, L, inputs]`` to ``[n, L, outputs]``.

    Args:
        layers: L.
        inputs, outputs: Widths, the same for all.
        deviation: Of the weights at the start; the biases are zero.
    """

    def __init__(self, layers: int, inputs: int, outputs: int, deviation: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(layers, inputs, outputs) * deviation)
        self.bias = nn.Parameter(torch.zeros(layers, outputs))

    def forward(self, tokens: Tensor) -> Tensor:
        """Return each token through its own map."""
        return torch.einsum("nli,lio->nlo", tokens, self.weight) + self.bias
