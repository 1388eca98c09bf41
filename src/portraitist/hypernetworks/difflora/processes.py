"""From photos to latents: denoising to the clean latent (DiffLoRA), flow matching, or plain regression.

A process says what its network is trained on and how latents are made with it. The noise schedule and the samplers are
those of diffusers. That the network predicts the clean latent is the paper's; the rest of the diffusion is not known to
us (schedule, steps, sampler), and is our choice.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from diffusers import DDIMScheduler, FlowMatchEulerDiscreteScheduler
from torch import Tensor
from torch.nn import functional as F

from portraitist.hypernetworks.difflora.settings import GeneratorSettings

# Latents and timesteps ``[n]`` to what a process asks for; the photos are known to it.
Network = Callable[[Tensor, Tensor], Tensor]


class LatentProcess(ABC):
    """How a network is trained to make standardised latents, and how they are made.

    Args:
        settings: Of the generator.

    Attributes:
        draws: Whether a photo has many latents.
    """

    draws = True

    def __init__(self, settings: GeneratorSettings) -> None:
        self.settings = settings

    @abstractmethod
    def errors(self, network: Network, latents: Tensor, generator: torch.Generator) -> Tensor:
        """Return the mean squared error of a network on each of some latents, ``[n]``.

        Args:
            network: What is trained.
            latents: Standardised, ``[n, size]``.
            generator: Source of noise and timesteps, on the CPU.
        """

    @abstractmethod
    def make(self, network: Network, noise: Tensor, steps: int) -> Tensor:
        """Make latents ``[n, size]`` in so many steps, from noise of the same shape."""


class Diffusion(LatentProcess):
    """Noise is added by a schedule, and the network says the clean latent; DDIM goes back (arXiv 2010.02502)."""

    def errors(self, network: Network, latents: Tensor, generator: torch.Generator) -> Tensor:
        """Return the errors of the clean latents at timesteps drawn evenly."""
        noise = torch.randn(latents.shape, generator=generator).to(latents)
        timesteps = torch.randint(self.settings.timesteps, (len(latents),), generator=generator).to(latents.device)
        noised = self._scheduler().add_noise(latents, noise, timesteps)  # type: ignore[arg-type]
        return (network(noised, timesteps) - latents).square().mean(1)

    def make(self, network: Network, noise: Tensor, steps: int) -> Tensor:
        """Denoise from noise; the last step's clean latents are what is made."""
        scheduler, latents, clean = self._scheduler(), noise, noise
        scheduler.set_timesteps(min(steps, self.settings.timesteps))
        for timestep in scheduler.timesteps:
            clean = network(latents, timestep.to(noise.device).expand(len(latents)))
            latents = scheduler.step(clean, timestep, latents).prev_sample
        return clean

    def _scheduler(self) -> DDIMScheduler:
        return DDIMScheduler(
            num_train_timesteps=self.settings.timesteps,
            beta_start=1e-4,
            beta_end=2e-2,
            beta_schedule=self.settings.schedule,
            prediction_type="sample",
            clip_sample=False,
            timestep_spacing="trailing",
        )


class FlowMatching(LatentProcess):
    """Straight lines from noise to latents, whose velocity the network says (arXiv 2210.02747; DeepWeightFlow)."""

    def errors(self, network: Network, latents: Tensor, generator: torch.Generator) -> Tensor:
        """Return the errors of velocities at places drawn evenly."""
        noise = torch.randn(latents.shape, generator=generator).to(latents)
        places = torch.rand(len(latents), generator=generator).to(latents)
        between = torch.lerp(latents, noise, places.unsqueeze(1))
        velocity = network(between, self.settings.timesteps * places)
        return (velocity - (noise - latents)).square().mean(1)

    def make(self, network: Network, noise: Tensor, steps: int) -> Tensor:
        """Follow the velocity from noise."""
        scheduler = FlowMatchEulerDiscreteScheduler(num_train_timesteps=self.settings.timesteps)
        scheduler.set_timesteps(steps)
        latents = noise
        for timestep in scheduler.timesteps:
            velocity = network(latents, timestep.to(noise.device).expand(len(latents)))
            latents = scheduler.step(velocity, timestep, latents).prev_sample
        return latents


class Regression(LatentProcess):
    """No noise at all: the network says the latent of a photo, the same in every step."""

    draws = False

    def errors(self, network: Network, latents: Tensor, generator: torch.Generator) -> Tensor:
        """Return the errors of what is said."""
        said = network(torch.zeros_like(latents), latents.new_zeros(len(latents)))
        return F.mse_loss(said, latents, reduction="none").mean(1)

    def make(self, network: Network, noise: Tensor, steps: int) -> Tensor:
        """Return what is said."""
        return network(torch.zeros_like(noise), noise.new_zeros(len(noise)))


PROCESSES: dict[str, type[LatentProcess]] = {"diffusion": Diffusion, "flow": FlowMatching, "regression": Regression}
