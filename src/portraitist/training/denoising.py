"""What every task that teaches a denoiser shares: noise, losses, learning rates, and what makes two runs the same."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from portraitist.adapters import Adapter, Kind
from portraitist.bases import Base
from portraitist.bases.families import Conditions, Framing
from portraitist.bases.transfers import sent
from portraitist.generation.latents import predict
from portraitist.training.loop.contracts import ParameterGroup
from portraitist.training.loop.processes import Processes
from portraitist.training.starting import start_identity


class NoiseSettings(Protocol):
    """How latents are noised, and how much each noise level counts; a recipe is one."""

    @property
    def noise_offset(self) -> float:
        """Share of the noise that all pixels of a channel have in common; 0 for none."""

    @property
    def min_snr_gamma(self) -> float | None:
        """Gamma of min-SNR weighting (arXiv 2303.09556); None weighs all noise levels alike."""


class RateSettings(Protocol):
    """How fast an adapter's parameters learn; a recipe is one."""

    @property
    def learning_rate(self) -> float:
        """Rate of the denoiser's parameters, and of all others that have none of their own."""

    @property
    def text_learning_rate(self) -> float | None:
        """Rate of the text encoders' parameters."""

    @property
    def norm_learning_rate(self) -> float | None:
        """Rate of the parameters of norms."""

    @property
    def weight_decay(self) -> float:
        """Decoupled weight decay of all."""


def trains_text(base: Base, adapter: Adapter) -> bool:
    """Say whether an adapter changes a text encoder, so that prompts are encoded anew in every step."""
    return any(name in base.family.text_encoders for name in adapter.components())


def adapter_groups(base: Base, adapter: Adapter, settings: RateSettings) -> list[ParameterGroup]:
    """Return an adapter's parameters, in groups of one learning rate each."""
    by_rate: dict[float, dict[str, nn.Parameter]] = {}
    for layer, tensors in adapter.values.items():
        rate = settings.learning_rate
        if layer.partition(".")[0] in base.family.text_encoders:
            rate = settings.text_learning_rate or rate
        if adapter.layers[layer].spec.kind is Kind.NORM:
            rate = settings.norm_learning_rate or rate
        for key, parameter in tensors.items():
            assert isinstance(parameter, nn.Parameter)
            by_rate.setdefault(rate, {})[f"{layer}.{key}"] = parameter
    return [ParameterGroup(parameters, rate, settings.weight_decay) for rate, parameters in by_rate.items()]


def run_identity(base: Base, adapter: Adapter, processes: Processes) -> dict[str, Any]:
    """Return the facts that two runs must share, beside recipe and pictures, for one to resume the other."""
    family = base.family
    side = {"resolution": family.resolution} if family.is_resized else {}
    facts = {"base": base.fingerprint, "base_precision": base.precision, "base_bits": base.bits}
    return {**facts, **side, "processes": processes.count, **start_identity(adapter)}


def denoising_errors(
    base: Base,
    settings: NoiseSettings,
    latents: Tensor,
    framings: Sequence[Framing],
    conditions: Conditions,
    generator: torch.Generator,
    *,
    rows: Tensor | None = None,
    weights: Tensor | None = None,
    prepare: Callable[[Tensor], None] | None = None,
) -> Tensor:
    """Noise latents, predict, and return each sample's weighted squared error, ``[n]``.

    Args:
        base: The base, with the adapter attached.
        settings: Loss weighting and noise offset.
        latents: Clean latents ``[n, c, h, w]``, on the CPU or on the base's device.
        framings: How each picture was cut, those of `rows`.
        conditions: Of the prompts, one row a sample, those of `rows`.
        generator: Source of noise and timesteps.
        rows: Of the latents those that this process takes, after all have been noised; all when None.
        weights: How much each place counts, ``[n, 1, h, w]``; all the same when None.
        prepare: Called with the samples' timesteps before the denoiser runs.
    """
    noise, timesteps = draw_noise(base, settings, latents, generator)
    if rows is not None:
        noise, timesteps = noise[rows], timesteps[rows]
        there = sent(rows, latents.device)
        latents, weights = latents[there], None if weights is None else weights[there]
    if prepare is not None:
        prepare(timesteps)
    noise, timesteps = sent(noise, latents.device), sent(timesteps, latents.device)
    prediction = predict_noised(base, latents, noise, timesteps, framings, conditions)
    errors = (prediction - sent(base.family.target(latents, noise, timesteps), base.device)).square()
    if weights is not None:
        errors = errors * sent(weights, base.device)
    return errors.mean(dim=tuple(range(1, errors.ndim))) * loss_weights(base, settings, timesteps)


def draw_noise(
    base: Base, settings: NoiseSettings, latents: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draw noise and timesteps for latents.

    With a noise offset, a part of the noise is one number for a whole channel: without it a model never sees a
    picture's mean brightness disappear, so it cannot make very dark or bright ones (Guttenberg, "Diffusion with offset
    noise", 2023; as in diffusers' scripts).

    Returns:
        Noise ``[n, c, h, w]`` and timesteps ``[n]``.
    """
    noise = torch.randn(latents.shape, generator=generator)
    timesteps = base.family.draw_timesteps(len(latents), generator, (latents.shape[-2], latents.shape[-1]))
    if settings.noise_offset:
        noise = noise + settings.noise_offset * torch.randn(*latents.shape[:2], 1, 1, generator=generator)
    return noise, timesteps


def predict_noised(
    base: Base, latents: Tensor, noise: Tensor, timesteps: Tensor, framings: Sequence[Framing], conditions: Conditions
) -> Tensor:
    """Noise latents and let the denoiser predict; gradients pass.

    Returns:
        The prediction ``[n, c, h, w]`` in float32.
    """
    family = base.family
    noise, timesteps = sent(noise, latents.device), sent(timesteps, latents.device)
    noised = family.add_noise(latents, noise, timesteps)
    return predict(base, noised, timesteps, {**conditions, **family.encode_framings(framings)})


def loss_weights(base: Base, settings: NoiseSettings, timesteps: Tensor) -> Tensor:
    """Return how much each sample's error counts, ``[n]``."""
    if settings.min_snr_gamma is None:
        return torch.ones(len(timesteps), device=base.device)
    return sent(base.family.min_snr_weights(timesteps, settings.min_snr_gamma), base.device)
