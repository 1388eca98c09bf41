"""Principal components: the best linear codec for the training LoRAs, and what every other one is held against."""

import torch
from torch import Tensor

from portraitist.hypernetworks.difflora.codecs.codec import WeightCodec
from portraitist.hypernetworks.difflora.settings import PrincipalSettings
from portraitist.hypernetworks.weights.vectors import WeightVectors


class PrincipalCodec(WeightCodec):
    """Coefficients of principal components, which `fit` finds.

    Args:
        settings: How far to squeeze.
        count: Numbers of a LoRA, P.
        size: Components, where there are fewer than the settings would have.
    """

    components: Tensor

    def __init__(self, settings: PrincipalSettings, count: int, size: int | None = None) -> None:
        wanted = -(-count // round(settings.ratio))
        super().__init__(count, wanted if size is None else min(size, wanted))
        self.register_buffer("components", torch.zeros(self.size, count))

    @torch.no_grad()
    def fit(self, standard: WeightVectors) -> None:
        """Find the components of LoRAs of mean zero, by the N x N matrix of their inner products.

        They are as many vectors in memory as a latent has numbers, too many for thousands of LoRAs of SDXL.
        """
        products = torch.zeros(len(standard), len(standard), dtype=torch.float64)
        for rows, part in standard.parts():
            for columns, other in standard.parts():
                if columns.start > rows.start:
                    break  # the lower triangle says all
                products[rows, columns] = (part @ other.T).double()
        values, vectors = torch.linalg.eigh(products)
        leading = vectors[:, -self.size :].flip(1) / values[-self.size :].flip(0).clamp(min=1e-12).sqrt()
        self.components.zero_()
        for rows, part in standard.parts():
            self.components += leading[rows].T.to(part) @ part

    def encode(self, standard: Tensor) -> Tensor:
        """Return coefficients."""
        return standard @ self.components.T

    def decode(self, latents: Tensor) -> Tensor:
        """Return the sums of components."""
        return latents @ self.components
