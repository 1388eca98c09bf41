"""What a family of base models must say about itself."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from diffusers import DiffusionPipeline
from torch import Tensor, nn

Conditions = dict[str, Tensor]


class Family(ABC):
    """A family: prompts to conditions, pictures to latents, noise to target, and the layers the papers adapt.

    Attributes:
        name: The family's name in recipes and files.
        pipelines: Names of the diffusers pipeline classes it covers.
        layer_sets: Named patterns of layers on ``component.module.path``.
    """

    name: ClassVar[str]
    pipelines: ClassVar[tuple[str, ...]]
    layer_sets: ClassVar[Mapping[str, tuple[str, ...]]]

    def __init__(self, pipeline: DiffusionPipeline) -> None:
        self.pipeline: Any = pipeline

    @property
    @abstractmethod
    def denoiser(self) -> nn.Module:
        """Return the network that predicts."""

    @property
    @abstractmethod
    def components(self) -> dict[str, nn.Module]:
        """Return the modules adapters may change, by component name."""

    @property
    @abstractmethod
    def resolution(self) -> int:
        """Return the side of the pictures the base was trained on, in pixels."""

    @abstractmethod
    def encode_prompts(self, prompts: Sequence[str]) -> Conditions:
        """Encode prompts to the denoiser's conditions, batch first; gradients flow into the text encoder."""

    @abstractmethod
    def token_ids(self, text: str) -> tuple[int, ...]:
        """Return a text's tokens without markers."""

    @abstractmethod
    def encode_pictures(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Encode pictures ``[n, 3, h, w]`` in [-1, 1] to scaled latent means and standard deviations."""

    @abstractmethod
    def draw_timesteps(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw training timesteps, shape ``[count]``."""

    @abstractmethod
    def add_noise(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Noise latents to the given timesteps."""

    @abstractmethod
    def target(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Return what the denoiser should predict."""

    @abstractmethod
    def snr(self, timesteps: Tensor) -> Tensor:
        """Return the signal-to-noise ratio at the timesteps."""

    @abstractmethod
    def predict(self, noised: Tensor, timesteps: Tensor, conditions: Conditions) -> Tensor:
        """Run the denoiser."""
