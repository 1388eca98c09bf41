"""Stable Diffusion 1.x and 2.x, and every model in their layout, toyland among them."""

from collections.abc import Sequence
from functools import cached_property
from typing import ClassVar

import torch
from diffusers import DDPMScheduler
from diffusers.training_utils import compute_snr
from torch import Tensor, nn

from portraitist.bases.families.family import Conditions, Family
from portraitist.bases.layers import LAYER_SETS, LayerSets


class StableDiffusion(Family):
    """One UNet with cross-attention, one CLIP text encoder, noise or velocity prediction."""

    name: ClassVar[str] = "sd"
    pipelines: ClassVar[tuple[str, ...]] = ("StableDiffusionPipeline",)
    layer_sets: ClassVar[LayerSets] = LAYER_SETS["sd"]

    @property
    def denoiser(self) -> nn.Module:
        """Return the UNet."""
        return self.pipeline.unet

    @property
    def components(self) -> dict[str, nn.Module]:
        """Return the UNet and the text encoder."""
        return {"unet": self.pipeline.unet, "text_encoder": self.pipeline.text_encoder}

    @property
    def resolution(self) -> int:
        """Return the pixels of the UNet's sample size through the autoencoder."""
        return self.pipeline.unet.config.sample_size * self.pipeline.vae_scale_factor

    @cached_property
    def noise_schedule(self) -> DDPMScheduler:
        """Return the training noise schedule; built once, as every training step asks for it three times."""
        return DDPMScheduler.from_config(self.pipeline.scheduler.config)

    def encode_prompts(self, prompts: Sequence[str]) -> Conditions:
        """Return the text encoder's last hidden states ``[n, tokens, width]``."""
        tokenizer, encoder = self.pipeline.tokenizer, self.pipeline.text_encoder
        tokens = tokenizer(
            list(prompts),
            padding="max_length",
            max_length=tokenizer.model_max_length,
            truncation=True,
            return_tensors="pt",
        )
        states = encoder(tokens.input_ids.to(encoder.device)).last_hidden_state
        return {"encoder_hidden_states": states}

    def token_ids(self, text: str) -> tuple[int, ...]:
        """Return a text's tokens without markers."""
        return tuple(self.pipeline.tokenizer(text, add_special_tokens=False).input_ids)

    def encode_pictures(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the autoencoder's posterior, scaled as the UNet expects it."""
        vae = self.pipeline.vae
        with torch.no_grad():
            posterior = vae.encode(pixels.to(vae.device, vae.dtype)).latent_dist
        scale = vae.config.scaling_factor
        return posterior.mean.float() * scale, posterior.std.float() * scale

    def draw_timesteps(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw uniform integer timesteps."""
        total = self.pipeline.scheduler.config.num_train_timesteps
        return torch.randint(0, total, (count,), generator=generator)

    def add_noise(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Noise latents by the variance-preserving schedule."""
        return self.noise_schedule.add_noise(latents, noise, timesteps)

    def target(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Return the noise, or the velocity for v-prediction models (Stable Diffusion 2.x at 768)."""
        schedule = self.noise_schedule
        if schedule.config.prediction_type == "v_prediction":
            return schedule.get_velocity(latents, noise, timesteps)
        return noise

    def snr(self, timesteps: Tensor) -> Tensor:
        """Return the signal-to-noise ratio of the schedule."""
        return compute_snr(self.noise_schedule, timesteps)

    def predict(self, noised: Tensor, timesteps: Tensor, conditions: Conditions) -> Tensor:
        """Run the UNet."""
        return self.pipeline.unet(noised, timesteps, **conditions).sample
