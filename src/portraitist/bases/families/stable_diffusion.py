"""Stable Diffusion 1.x and 2.x, and every model in their layout, toyland among them."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, Protocol

import torch
from torch import Tensor

from portraitist.bases.families.family import Conditions, Family, encode_latents, tokenize
from portraitist.bases.layers import LAYER_SETS, LayerSets
from portraitist.bases.pipelines import Network, Pipeline
from portraitist.bases.transfers import sent
from portraitist.errors import BadConfig

if TYPE_CHECKING:
    from diffusers import DDPMScheduler

_VELOCITY = "v_prediction"


class UNetPipeline(Pipeline, Protocol):
    """A pipeline of a UNet and a CLIP text encoder."""

    unet: Network
    text_encoder: Network


class StableDiffusion(Family):
    """One UNet with cross-attention, one CLIP text encoder, noise or velocity prediction."""

    pipeline: UNetPipeline
    name: ClassVar[str] = "sd"
    title: ClassVar[str] = "Stable Diffusion"
    pipelines: ClassVar[tuple[str, ...]] = ("StableDiffusionPipeline",)
    layer_sets: ClassVar[LayerSets] = LAYER_SETS["sd"]
    denoiser_name: ClassVar[str] = "unet"
    text_encoders: ClassVar[tuple[str, ...]] = ("text_encoder",)
    samplers: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"dpm": "DPMSolverMultistepScheduler", "ddim": "DDIMScheduler", "euler": "EulerDiscreteScheduler"}
    )
    sampling_steps: ClassVar[int] = 25
    guidance: ClassVar[float] = 7.5  # default of diffusers' pipeline

    def __init__(self, pipeline: UNetPipeline) -> None:
        super().__init__(pipeline)
        scheduler = self.pipeline.scheduler
        if not hasattr(scheduler, "alphas_cumprod"):
            raise BadConfig(
                f"this base's scheduler is a {type(scheduler).__name__}, so it was not trained with the DDPM noise"
                f" schedule of {self.title}; such models are not supported"
            )
        prediction = self.pipeline.scheduler.config.get("prediction_type", "epsilon")
        if prediction not in ("epsilon", _VELOCITY):
            raise BadConfig(
                f"this base predicts {prediction!r}; only epsilon and v_prediction are supported for {self.title}"
            )
        if self.pipeline.unet.config.in_channels != self.pipeline.vae.config.latent_channels:
            raise BadConfig(
                f"this base's UNet reads {self.pipeline.unet.config.in_channels} channels: it is made for inpainting or"
                " editing; use the text-to-image model"
            )

    @property
    def own_resolution(self) -> int:
        """Return the pixels of the UNet's sample size through the autoencoder."""
        return self.pipeline.unet.config.sample_size * self.pipeline.vae_scale_factor

    @cached_property
    def noise_schedule(self) -> "DDPMScheduler":
        """Return the training noise schedule; built once, as every training step asks for it three times."""
        from diffusers import DDPMScheduler

        return DDPMScheduler.from_config(self.pipeline.scheduler.config)

    def encode_prompts(self, prompts: Sequence[str]) -> Conditions:
        """Return the text encoder's last hidden states ``[n, tokens, width]``."""
        encoder = self.pipeline.text_encoder
        ids = sent(tokenize(self.pipeline.tokenizer, prompts), encoder.device)
        return {"encoder_hidden_states": encoder(ids).last_hidden_state}

    def encode_pictures(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the autoencoder's posterior, scaled as the UNet expects it."""
        return encode_latents(self.pipeline.vae, pixels)

    def draw_timesteps(self, count: int, generator: torch.Generator, size: tuple[int, int] | None = None) -> Tensor:
        """Draw uniform integer timesteps."""
        total = self.pipeline.scheduler.config.num_train_timesteps
        return torch.randint(0, total, (count,), generator=generator)

    def add_noise(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Noise latents by the variance-preserving schedule."""
        return self.noise_schedule.add_noise(latents, noise, timesteps)

    def target(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Return the noise, or the velocity for v-prediction models (Stable Diffusion 2.x at 768)."""
        return self.noise_schedule.get_velocity(latents, noise, timesteps) if self._predicts_velocity else noise

    def snr(self, timesteps: Tensor) -> Tensor:
        """Return the signal-to-noise ratio of the schedule."""
        from diffusers.training_utils import compute_snr

        return compute_snr(self.noise_schedule, timesteps)

    def min_snr_weights(self, timesteps: Tensor, gamma: float) -> Tensor:
        """Return ``min(snr, gamma) / snr`` for noise, ``min(snr, gamma) / (snr + 1)`` for velocity."""
        snr = self.snr(timesteps)
        return snr.clamp(max=gamma) / (snr + 1 if self._predicts_velocity else snr)

    def predict(self, noised: Tensor, timesteps: Tensor, conditions: Conditions) -> Tensor:
        """Run the UNet."""
        return self.pipeline.unet(noised, timesteps, **conditions).sample

    @property
    def _predicts_velocity(self) -> bool:
        return self.noise_schedule.config.prediction_type == _VELOCITY
