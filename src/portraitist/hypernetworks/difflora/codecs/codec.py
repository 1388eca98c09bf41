"""The contract of autoencoders of weights."""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from portraitist.hypernetworks.weights.vectors import WeightVectors


class WeightCodec(nn.Module, ABC):
    """Squeezes standardised LoRAs and restores them.

    Args:
        count: Numbers of a LoRA, P.
        size: Numbers of its latent.
    """

    def __init__(self, count: int, size: int) -> None:
        super().__init__()
        self.numbers, self.size = count, size

    @property
    def ratio(self) -> float:
        """Return how far LoRAs are squeezed, exactly: P over the latent's size."""
        return self.numbers / self.size

    @property
    def is_trained(self) -> bool:
        """Say whether there is anything to be trained by gradients."""
        return next(self.parameters(), None) is not None

    def fit(self, standard: WeightVectors) -> None:
        """Take from the standardised training LoRAs what is taken at once, before any training."""

    @abstractmethod
    def encode(self, standard: Tensor) -> Tensor:
        """Return latents ``[n, size]`` of standardised LoRAs ``[n, P]``."""

    @abstractmethod
    def decode(self, latents: Tensor) -> Tensor:
        """Return standardised LoRAs ``[n, P]`` of latents ``[n, size]``."""
