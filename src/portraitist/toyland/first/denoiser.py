"""Third stage: the denoising UNet on latents, conditioned on the frozen text encoder."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from diffusers.training_utils import compute_snr
from torch import Tensor
from torch.nn import functional as F
from transformers import CLIPTextModel

from portraitist.randomness import epoch_order, numpy_generator, torch_generator
from portraitist.toyland.first.config import AutoencoderConfig, DenoiserConfig
from portraitist.training.loop.loop import ParameterGroup


def build_denoiser(config: DenoiserConfig, autoencoder: AutoencoderConfig, text_width: int) -> UNet2DConditionModel:
    """Build an untrained UNet with cross-attention on the levels that `config.attention` marks."""
    down = ["CrossAttnDownBlock2D" if attends else "DownBlock2D" for attends in config.attention]
    up = ["CrossAttnUpBlock2D" if attends else "UpBlock2D" for attends in reversed(config.attention)]
    return UNet2DConditionModel(
        sample_size=autoencoder.resolution // 2 ** (len(autoencoder.channels) - 1),
        in_channels=autoencoder.latent_channels,
        out_channels=autoencoder.latent_channels,
        block_out_channels=tuple(config.channels),
        layers_per_block=config.layers_per_block,
        down_block_types=tuple(down),
        up_block_types=tuple(up),
        cross_attention_dim=text_width,
        # diffusers reads this argument as the number of heads
        attention_head_dim=tuple(max(1, width // config.head_width) for width in config.channels),
        norm_num_groups=32,
    )


def build_scheduler() -> DDIMScheduler:
    """Return the noise schedule of Stable Diffusion: scaled linear betas, noise prediction, 1,000 steps."""
    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type="epsilon",
    )


class DenoiserTask:
    """Predict the noise in noised latents, weighted by min-SNR (arXiv 2303.09556)."""

    def __init__(
        self,
        unet: UNet2DConditionModel,
        text: CLIPTextModel,
        latents: tuple[Tensor, Tensor],
        token_ids: Tensor,
        empty_ids: Tensor,
        config: DenoiserConfig,
    ) -> None:
        """Set up the task.

        Args:
            unet: The network to train.
            text: The frozen text encoder.
            latents: Scaled means and standard deviations of the pictures' latents, both ``[n, c, h, w]``.
            token_ids: Captions of each picture, ``[n, captions, tokens]``.
            empty_ids: The empty prompt, ``[tokens]``.
            config: Settings of the stage.
        """
        self.unet = unet.to(memory_format=torch.channels_last).train()
        self.text = text.eval().requires_grad_(False)
        self.means, self.deviations = latents
        self.token_ids, self.empty_ids, self.config = token_ids, empty_ids, config
        self.scheduler = build_scheduler()
        self.device = next(unet.parameters()).device
        self.snr = compute_snr(self.scheduler, torch.arange(self.scheduler.config.num_train_timesteps))

    def groups(self) -> Sequence[ParameterGroup]:
        """Return all weights of the UNet."""
        config = self.config
        return [ParameterGroup(dict(self.unet.named_parameters()), config.learning_rate, config.weight_decay)]

    def identity(self) -> dict[str, Any]:
        """Return the stage's settings, save how long it goes on, and the number of pictures."""
        settings = self.config.model_dump(mode="json", exclude={"steps"})
        return {"stage": "denoiser", "pictures": len(self.means), **settings}

    def after_step(self) -> None:
        """Nothing to restore."""

    def step(self, step: int, micro_step: int) -> Mapping[str, Tensor]:
        """Denoise one batch."""
        config, size = self.config, self.config.batch_size
        chosen = torch.from_numpy(np.sort(epoch_order(len(self.means), config.seed, "pictures", step * size, size)))
        draws = torch_generator(config.seed, "noise", step)
        means, deviations = self.means[chosen].float(), self.deviations[chosen].float()
        latents = means + deviations * torch.randn(means.shape, generator=draws)
        noise = torch.randn(means.shape, generator=draws)
        # One timestep from each of `size` equal intervals: the same distribution with less variance.
        offsets = torch.rand(size, generator=draws)
        total = self.scheduler.config.num_train_timesteps
        timesteps = ((torch.randperm(size, generator=draws) + offsets) / size * total).long()
        noised = self.scheduler.add_noise(latents, noise, timesteps).to(self.device, memory_format=torch.channels_last)
        prediction = self.unet(noised, timesteps.to(self.device), self._conditions(step, chosen)).sample
        errors = F.mse_loss(prediction.float(), noise.to(self.device), reduction="none").mean((1, 2, 3))
        snr = self.snr[timesteps]
        weights = (snr.clamp(max=config.min_snr_gamma) / snr).to(self.device)
        return {"loss": (weights * errors).mean(), "mse": errors.mean()}

    @torch.no_grad()
    def _conditions(self, step: int, chosen: Tensor) -> Tensor:
        """Return the text encoder's states ``[batch, tokens, width]``; some captions are dropped for guidance."""
        rng = numpy_generator(self.config.seed, "captions", step)
        which = torch.from_numpy(rng.integers(0, self.token_ids.shape[1], len(chosen)))
        ids = self.token_ids[chosen, which].long()
        ids[torch.from_numpy(rng.random(len(chosen)) < self.config.caption_dropout)] = self.empty_ids.long()
        return self.text(ids.to(self.device)).last_hidden_state
