"""What LoRAs have in common: their mean, and how far the numbers of each layer scatter about it."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from portraitist.hypernetworks.weights.layout import WeightLayout
from portraitist.hypernetworks.weights.vectors import WeightVectors

# Below this share of the largest scatter a layer's counts as none, and stays as it is.
_SMALLEST = 1e-4


class Standard(nn.Module):
    """Vectors ``[n, P]`` to numbers of mean 0 and variance 1, and back.

    The mean is that of every number, the mean LoRA; the deviation that of all numbers of a layer's factor together, so
    that numbers that never change are not blown up (a z-score a layer, our reading of DiffLoRA, arXiv 2408.06740).

    Args:
        layout: Of the vectors.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, layout: WeightLayout) -> None:
        super().__init__()
        self.layout = layout
        sizes = torch.tensor([piece.rank * piece.width for piece in layout.pieces])
        self.register_buffer("sizes", sizes, persistent=False)
        self.register_buffer("mean", torch.zeros(layout.count))
        self.register_buffer("deviation", torch.ones(len(layout.pieces)))

    @torch.no_grad()
    def fit(self, vectors: WeightVectors) -> None:
        """Take mean and deviations from many LoRAs, which are read twice."""
        self.mean.copy_(vectors.mean())
        squares = torch.zeros(len(self.layout.pieces), dtype=torch.float64)
        for _, rows in vectors.parts():
            apart = rows - self.mean
            squares += torch.stack([apart[:, piece.numbers].square().sum() for piece in self.layout.pieces])
        deviation = (squares / (len(vectors) * self.sizes)).sqrt().float()  # type: ignore[operator]
        self.deviation.copy_(torch.where(deviation > _SMALLEST * deviation.max(), deviation, 1.0))

    def standardise(self, vectors: Tensor) -> Tensor:
        """Return standardised numbers ``[n, P]``."""
        return (vectors - self.mean) / self._spread

    def restore(self, standard: Tensor) -> Tensor:
        """Return the numbers of LoRAs ``[n, P]``."""
        return standard * self._spread + self.mean

    @property
    def _spread(self) -> Tensor:
        sizes: Tensor = self.sizes  # type: ignore[assignment]
        return self.deviation.repeat_interleave(sizes)

    def by_layer(self) -> Mapping[str, dict[str, float]]:
        """Return each layer's deviations by factor: ``{"unet.mid...to_q": {"up": 0.01}}``."""
        found: dict[str, dict[str, float]] = {}
        for piece, value in zip(self.layout.pieces, self.deviation.tolist(), strict=True):
            found.setdefault(piece.layer, {})[piece.factor] = value
        return found
