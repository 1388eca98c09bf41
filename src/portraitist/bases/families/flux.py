"""FLUX.1: a transformer over packed latents, trained by flow matching (arXiv 2403.03206), with T5 and CLIP."""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from portraitist.bases.families.family import Conditions, Family, encode_latents, tokenize
from portraitist.bases.layers import LAYER_SETS, LayerSets
from portraitist.bases.pipelines import Network, Pipeline, Tokenizer
from portraitist.bases.transfers import sent
from portraitist.errors import BadConfig

_TIMESTEPS = 1000
_PATCH = 2
# Prompt lengths the published models were made for: [dev] with distilled guidance, [schnell] without.
_GUIDED_TOKENS, _UNGUIDED_TOKENS = 512, 256
# Guidance told to a guidance-distilled model while it is trained; diffusers, examples/dreambooth/README_flux.md.
_TRAINING_GUIDANCE = 1.0


class FluxPipeline(Pipeline, Protocol):
    """A pipeline of a transformer, CLIP and T5."""

    transformer: Network
    text_encoder: Network
    text_encoder_2: Network
    tokenizer_2: Tokenizer


class Flux(Family):
    """A velocity from noise to picture along straight lines; time runs from 0 (picture) to 1 (noise)."""

    pipeline: FluxPipeline
    name: ClassVar[str] = "flux"
    title: ClassVar[str] = "FLUX.1"
    pipelines: ClassVar[tuple[str, ...]] = ("FluxPipeline",)
    layer_sets: ClassVar[LayerSets] = LAYER_SETS["flux"]
    denoiser_name: ClassVar[str] = "transformer"
    text_encoders: ClassVar[tuple[str, ...]] = ("text_encoder", "text_encoder_2")
    samplers: ClassVar[Mapping[str, str]] = MappingProxyType({"euler": "FlowMatchEulerDiscreteScheduler"})
    sampling_steps: ClassVar[int] = 28  # defaults of diffusers' pipeline
    guidance: ClassVar[float] = 3.5

    @property
    def own_resolution(self) -> int:
        """Return the autoencoder's sample size: the transformer takes any."""
        return self.pipeline.vae.config.sample_size

    @property
    def resolution_step(self) -> int:
        """Return the pixels of a patch of latents."""
        return _PATCH * int(self.pipeline.vae_scale_factor)

    @property
    def prompt_tokens(self) -> int:
        """Return how many tokens of a prompt the T5 encoder reads."""
        longest = _GUIDED_TOKENS if self._is_guided else _UNGUIDED_TOKENS
        return min(longest, self.pipeline.tokenizer_2.model_max_length)

    @property
    def text_positions(self) -> int:
        """Return the tokens of a prompt: text and picture are one sequence."""
        return self.prompt_tokens

    def encode_prompts(self, prompts: Sequence[str]) -> Conditions:
        """Return T5's hidden states ``[n, tokens, width]`` and CLIP's pooled state ``[n, width]``."""
        clip, t5 = self.pipeline.text_encoder, self.pipeline.text_encoder_2
        short = sent(tokenize(self.pipeline.tokenizer, prompts), clip.device)
        long = sent(tokenize(self.pipeline.tokenizer_2, prompts, self.prompt_tokens), t5.device)
        return {"encoder_hidden_states": t5(long)[0], "pooled_projections": clip(short).pooler_output}

    def encode_pictures(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the autoencoder's posterior, shifted and scaled; packed only where the transformer reads it."""
        return encode_latents(self.pipeline.vae, pixels)

    def draw_timesteps(self, count: int, generator: torch.Generator, size: tuple[int, int] | None = None) -> Tensor:
        """Draw logit-normal times (arXiv 2403.03206, section 3.1), shifted to more noise for larger pictures.

        The shift is the one the model is sampled with: linear in the number of packed latents (`time_shift`).
        """
        scheduler = self.pipeline.scheduler.config
        height, width = size or (self.resolution // self.pipeline.vae_scale_factor,) * 2
        if scheduler.get("use_dynamic_shifting"):
            strength = time_shift(scheduler, height // _PATCH * (width // _PATCH))
        else:
            strength = math.log(scheduler.get("shift", 1.0))
        return _TIMESTEPS * torch.sigmoid(torch.randn(count, generator=generator) + strength)

    def add_noise(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Return the point on the straight line, ``(1 - t) x + t noise``."""
        time = _column(timesteps, latents)
        return (1 - time) * latents + time * noise

    def target(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Return the direction of the line, ``noise - x``."""
        return noise - latents

    def snr(self, timesteps: Tensor) -> Tensor:
        """Return ``((1 - t) / t)^2``."""
        time = timesteps / _TIMESTEPS
        return ((1 - time) / time).square()

    def min_snr_weights(self, timesteps: Tensor, gamma: float) -> Tensor:
        """Return ``min(snr, gamma) t^2``, as the clean latents are the noised ones less t times the velocity."""
        return self.snr(timesteps).clamp(max=gamma) * (timesteps / _TIMESTEPS).square()

    def predict(self, noised: Tensor, timesteps: Tensor, conditions: Conditions) -> Tensor:
        """Run the transformer on packed latents."""
        states = conditions["encoder_hidden_states"]
        height, width = noised.shape[-2:]
        guidance = torch.full((len(noised),), _TRAINING_GUIDANCE, device=noised.device) if self._is_guided else None
        prediction = self.pipeline.transformer(
            hidden_states=pack(noised),
            timestep=sent(timesteps, noised.device) / _TIMESTEPS,
            guidance=guidance,
            pooled_projections=conditions["pooled_projections"],
            encoder_hidden_states=states,
            txt_ids=torch.zeros(states.shape[1], 3, device=noised.device, dtype=states.dtype),
            img_ids=sent(positions(height // _PATCH, width // _PATCH), noised.device, noised.dtype),
        ).sample
        return unpack(prediction, height, width)

    def sampling_arguments(self, prompts: Sequence[str], negative_prompt: str) -> dict[str, Any]:
        """Return the prompts; guidance is distilled into the model, so nothing can be kept away from."""
        if negative_prompt:
            raise BadConfig("FLUX.1 takes no negative prompt: its guidance is distilled; leave out --negative")
        return {"prompt": list(prompts), "max_sequence_length": self.prompt_tokens}

    @property
    def _is_guided(self) -> bool:
        return self.pipeline.transformer.config.guidance_embeds


def pack(latents: Tensor) -> Tensor:
    """Fold 2 x 2 patches ``[n, c, h, w]`` into a sequence ``[n, h/2 * w/2, 4 c]``."""
    count, channels, height, width = latents.shape
    patches = latents.reshape(count, channels, height // _PATCH, _PATCH, width // _PATCH, _PATCH)
    return patches.permute(0, 2, 4, 1, 3, 5).reshape(count, -1, channels * _PATCH**2)


def unpack(sequence: Tensor, height: int, width: int) -> Tensor:
    """Undo `pack`."""
    count, _, features = sequence.shape
    patches = sequence.reshape(count, height // _PATCH, width // _PATCH, features // _PATCH**2, _PATCH, _PATCH)
    return patches.permute(0, 3, 1, 4, 2, 5).reshape(count, -1, height, width)


def positions(rows: int, columns: int) -> Tensor:
    """Return a row of (0, row, column) for each patch, ``[rows * columns, 3]``, which the rotary embedding reads."""
    row, column = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    return torch.stack([torch.zeros_like(row), row, column], dim=-1).reshape(-1, 3)


def time_shift(scheduler: Mapping[str, Any], tokens: int) -> float:
    """Return the published shift of the logit of time: linear from 0.5 at 256 tokens to 1.15 at 4096."""
    few, many = scheduler.get("base_image_seq_len", 256), scheduler.get("max_image_seq_len", 4096)
    least, most = scheduler.get("base_shift", 0.5), scheduler.get("max_shift", 1.15)
    shift: float = least + (most - least) * (tokens - few) / (many - few)
    return shift


def _column(timesteps: Tensor, latents: Tensor) -> Tensor:
    """Return times in [0, 1], one a row of latents."""
    return (timesteps / _TIMESTEPS).to(latents).reshape(-1, *(1,) * (latents.ndim - 1))
