"""Sixth stage: the denoising UNet on latents, conditioned on the frozen text encoder."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from diffusers.training_utils import compute_snr
from torch import Tensor
from torch.nn import functional as F
from transformers import CLIPTextModel

from portraitist.randomness import torch_generator
from portraitist.toyland.config import DenoiserConfig
from portraitist.toyland.latents import Encoded
from portraitist.training.loop.contracts import ParameterGroup
from portraitist.training.loop.processes import Processes
from portraitist.training.networks.draws import Draws
from portraitist.training.networks.machine import Machine
from portraitist.training.networks.parameters import parameter_groups

_EDGES = ("conv_in", "conv_out")


def build_denoiser(config: DenoiserConfig, side: int, latent_channels: int, text_width: int) -> UNet2DConditionModel:
    """Build an untrained UNet for latents of a side, with attention on the levels that `config.attention` marks."""
    down = ["CrossAttnDownBlock2D" if attends else "DownBlock2D" for attends in config.attention]
    up = ["CrossAttnUpBlock2D" if attends else "UpBlock2D" for attends in reversed(config.attention)]
    return UNet2DConditionModel(
        sample_size=side,
        in_channels=latent_channels,
        out_channels=latent_channels,
        block_out_channels=tuple(config.channels),
        layers_per_block=config.layers,
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
        data: Encoded,
        empty_ids: Tensor,
        config: DenoiserConfig,
        machine: Machine,
    ) -> None:
        """Set up the task.

        Args:
            unet: The network to train.
            text: The frozen text encoder.
            data: What it is trained on, on the machine's device.
            empty_ids: The empty prompt, ``[tokens]``.
            config: Settings of the stage.
            machine: What it is trained on.
        """
        self.unet, self.memory_format = unet.train(), machine.memory_format
        self.text = text.eval().requires_grad_(False)
        for network in (self.unet, self.text):
            machine.prepare(network)
        if not machine.fuses_attention:
            unet.set_attn_processor(AttnProcessor())
        self.data, self.config, self.device = data, config, machine.device
        self.processes = Processes.current()
        self.empty_ids = empty_ids.to(machine.device)
        scheduler = build_scheduler()
        timesteps = torch.arange(scheduler.config.num_train_timesteps)
        snr = compute_snr(scheduler, timesteps).double()
        self.log_sigmas = (-0.5 * snr.log()).float().to(machine.device)  # of noise over signal
        alphas = scheduler.alphas_cumprod.to(machine.device)
        self.signal, self.noise = alphas.sqrt(), (1 - alphas).sqrt()
        self.weights = (snr.clamp(max=config.min_snr_gamma) / snr).float().to(machine.device)

    def groups(self) -> Sequence[ParameterGroup]:
        """Return all weights of the UNet."""
        return parameter_groups(self.unet, self.config.learning_rate, self.config.weight_decay, _EDGES)

    def identity(self) -> dict[str, Any]:
        """Return the stage's settings, save how long it goes on, and the number of pictures."""
        settings = self.config.model_dump(mode="json", exclude={"steps"})
        return {"stage": "denoiser", "pictures": len(self.data.latents), **settings}

    def after_step(self) -> None:
        """Nothing to restore."""

    def step(self, step: int, micro_step: int) -> Mapping[str, Tensor]:
        """Denoise one batch."""
        draws = Draws(self.config.seed, step, self.processes)
        items = draws.items(len(self.data.latents), self.config.batch_size)
        chosen = torch.from_numpy(items).to(self.device, non_blocking=True)
        generator = draws.torch("noise", self.device)
        timesteps = self.draw_timesteps(len(chosen), generator)
        states = self._states(draws.numpy("captions"), chosen)
        return self.errors(self.data.latents[chosen].float(), states, timesteps, generator)

    def errors(self, latents: Tensor, states: Tensor, timesteps: Tensor, draws: torch.Generator) -> dict[str, Tensor]:
        """Return the weighted and the plain squared error of the predicted noise."""
        noise = torch.randn(latents.shape, generator=draws, device=self.device)
        place = timesteps[:, None, None, None]
        noised = self.signal[place] * latents + self.noise[place] * noise
        noised = noised.contiguous(memory_format=self.memory_format)
        prediction = self.unet(noised, timesteps, states, return_dict=False)[0]
        errors = F.mse_loss(prediction.float(), noise, reduction="none").mean((1, 2, 3))
        return {"loss": (self.weights[timesteps] * errors).mean(), "mse": errors.mean()}

    def draw_timesteps(self, size: int, draws: torch.Generator) -> Tensor:
        """Draw timesteps where they matter, ``[size]``: log-normally distributed noise, and some uniformly.

        Of either kind one is drawn from each of as many equal intervals: the same distribution with less variance.
        """
        config, total = self.config, len(self.log_sigmas)
        drawn = round(config.drawn_timesteps * size)
        parts = []
        for count in (drawn, size - drawn):
            offsets = torch.rand(count, generator=draws, device=self.device)
            order = torch.randperm(count, generator=draws, device=self.device)
            parts.append((order + offsets) / max(count, 1))
        mean, deviation = config.log_sigma
        quantiles = parts[0].clamp(1e-6, 1 - 1e-6)
        wanted = mean + deviation * 2**0.5 * torch.erfinv(2 * quantiles - 1)
        first = torch.searchsorted(self.log_sigmas, wanted).clamp(max=total - 1)
        return torch.cat([first, (parts[1] * total).long().clamp(max=total - 1)])

    @torch.no_grad()
    def _states(self, rng: np.random.Generator, chosen: Tensor) -> Tensor:
        """Return the text encoder's states ``[batch, tokens, width]``; some captions are dropped for guidance."""
        which = torch.from_numpy(rng.integers(0, self.data.token_ids.shape[1], len(chosen)))
        dropped = torch.from_numpy(rng.random(len(chosen)) < self.config.caption_dropout)
        ids = self.data.token_ids[chosen, which.to(self.device, non_blocking=True)]
        ids = torch.where(dropped.to(self.device, non_blocking=True)[:, None], self.empty_ids, ids)
        return self.text(ids.long()).last_hidden_state


@torch.no_grad()
def validation_error(task: DenoiserTask, data: Encoded, batch_size: int = 64) -> float:
    """Return the weighted error on other pictures with full captions, on fixed noise at evenly spread timesteps."""
    count = len(data.latents)
    timesteps = torch.linspace(0, len(task.log_sigmas) - 1, count, device=task.device).long()
    total = 0.0
    for start in range(0, count, batch_size):
        rows = slice(start, start + batch_size)
        draws = torch_generator(0, "validation", start, task.device)
        states = task.text(data.token_ids[rows, 0].long()).last_hidden_state
        latents = data.latents[rows].float()
        total += float(task.errors(latents, states, timesteps[rows], draws)["loss"]) * len(latents)
    return total / count
