"""What every kind of hypernetwork can do: turn what is seen of photos into an ordinary adapter."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from portraitist.adapters import Adapter, LayerSpec
from portraitist.adapters.provenance import Provenance
from portraitist.hypernetworks.networks.memory import Features


@dataclass(frozen=True)
class Wish:
    """How a prediction shall be made.

    Attributes:
        guidance: How far to lead away from the adapter of nobody in particular; 1 not at all.
        seed: Of what is drawn, by networks that draw.
        sampling_steps: In how many steps they draw; None for as many as is usual.
    """

    guidance: float = 1.0
    seed: int = 0
    sampling_steps: int | None = None


@dataclass(frozen=True)
class Predicted:
    """A prediction as an adapter.

    Attributes:
        adapter: The adapter.
        energy: Part of the change's squared norm that was kept, of the layer that lost most.
    """

    adapter: Adapter
    energy: float = 1.0


class PhotoToAdapter(nn.Module, ABC):
    """A network from features of photos to an adapter."""

    @property
    def draws(self) -> bool:
        """Say whether one photo has many adapters, from which a seed chooses."""
        return False

    @property
    @abstractmethod
    def specs(self) -> Sequence[LayerSpec]:
        """Return all layers that its adapters change."""

    @property
    @abstractmethod
    def numbers(self) -> int:
        """Return how many numbers an adapter has, P."""

    @abstractmethod
    def predict(self, features: Features, wish: Wish) -> Tensor:
        """Return the numbers of an adapter for each of n persons, ``[n, P]``.

        Args:
            features: Of their photos, ``[n, photos, tokens, width]`` by source.
            wish: How they shall be made.
        """

    @abstractmethod
    def adapter(self, numbers: Tensor, provenance: Provenance, rank: int | None = None) -> Predicted:
        """Return the numbers ``[P]`` of one prediction as an ordinary adapter.

        Args:
            numbers: Of one prediction.
            provenance: What its file says.
            rank: Maximum rank of the LoRA; None keeps it exact.
        """

    def between(self, first: Features, second: Features, share: float, wish: Wish) -> Tensor:
        """Return the numbers of an adapter on the way from one person to another, ``[1, P]``: on a straight line.

        Args:
            first: Features of the one's photos, ``[1, ...]``.
            second: Features of the other's.
            share: Of the other, 0 to 1.
            wish: How both are predicted.
        """
        return torch.lerp(self.predict(first, wish), self.predict(second, wish), share)

    def likeness(self, first: Tensor, second: Tensor, centre: Tensor | None = None) -> Tensor:
        """Return the cosines of adapters ``[n, P]`` to others ``[m, P]``, ``[n, m]``.

        Args:
            first: Numbers of the ones.
            second: Numbers of the others.
            centre: What is taken off all of them first, ``[P]``, such as the mean one.
        """
        one, other = (first, second) if centre is None else (first - centre, second - centre)
        return F.normalize(one, dim=-1) @ F.normalize(other, dim=-1).T

    def count(self) -> int:
        """Return how many parameters are trained."""
        return sum(parameter.numel() for parameter in self.parameters())
