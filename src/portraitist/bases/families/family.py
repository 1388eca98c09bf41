"""What a family of base models must say about itself."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from portraitist.bases.pipelines import Autoencoder, Pipeline, Schedule, Tokenizer
from portraitist.errors import BadConfig

Conditions = dict[str, Tensor]

# Fewer than so many latents across are no picture.
LEAST_LATENTS = 8


@dataclass(frozen=True)
class Framing:
    """How a training picture was cut from its photo, all as (height, width) or (top, left) in pixels.

    Attributes:
        original: The photo's size before it was scaled.
        crop: Corner of the cut in the scaled photo.
        target: Size of the picture.
    """

    original: tuple[int, int]
    crop: tuple[int, int]
    target: tuple[int, int]

    @classmethod
    def whole(cls, height: int, width: int) -> "Framing":
        """Return the framing of a picture that is whole: what is asked for when pictures are generated."""
        return cls((height, width), (0, 0), (height, width))


class Family(ABC):
    """A family: prompts to conditions, pictures to latents, noise to target, and the layers the papers adapt.

    Attributes:
        name: The family's name in recipes and files.
        title: What people call its models.
        pipelines: Names of the diffusers pipeline classes it covers.
        layer_sets: Named patterns of layers on ``component.module.path``.
        denoiser_name: Component that predicts.
        text_encoders: Components that read prompts, each with its tokenizer.
        samplers: Sampling schedules, as diffusers calls them, by name; the usual one first.
        sampling_steps: Usual number of them.
        guidance: Usual weight of the guidance.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    pipelines: ClassVar[tuple[str, ...]]
    layer_sets: ClassVar[Mapping[str, tuple[str, ...]]]
    denoiser_name: ClassVar[str]
    text_encoders: ClassVar[tuple[str, ...]]
    samplers: ClassVar[Mapping[str, str]]
    sampling_steps: ClassVar[int]
    guidance: ClassVar[float]

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self._resolution: int | None = None

    @property
    def denoiser(self) -> nn.Module:
        """Return the network that predicts."""
        return getattr(self.pipeline, self.denoiser_name)

    @property
    def dtype(self) -> torch.dtype:
        """Return the precision the denoiser computes in, also where its weights are held in fewer bits."""
        return next(each.dtype for each in self.denoiser.parameters() if each.is_floating_point())

    @property
    def components(self) -> dict[str, nn.Module]:
        """Return the modules adapters may change, by component name."""
        names = (self.denoiser_name, *self.text_encoders)
        return {name: module for name in names if (module := getattr(self.pipeline, name)) is not None}

    @property
    def resolution(self) -> int:
        """Return the resolution of the pictures that are trained on and made, in pixels."""
        return self._resolution or self.own_resolution

    @property
    @abstractmethod
    def own_resolution(self) -> int:
        """Return the resolution the base was trained on, in pixels."""

    @property
    def is_resized(self) -> bool:
        """Say whether pictures have another resolution than those the base was trained on."""
        return self.resolution != self.own_resolution

    @property
    def resolution_step(self) -> int:
        """Return what resolutions are multiples of."""
        return int(self.pipeline.vae_scale_factor)

    def choose_resolution(self, resolution: int) -> None:
        """Work at another resolution than the base's own from here on.

        Raises:
            BadConfig: If the base cannot make such pictures.
        """
        self.check_resolution(resolution, self.resolution_step)
        self._resolution = resolution

    @classmethod
    def check_resolution(cls, resolution: int, step: int) -> None:
        """Refuse pictures that no base of the family with such a step makes.

        Raises:
            BadConfig: If it cannot.
        """
        least = LEAST_LATENTS * step
        if resolution < least or resolution % step:
            raise BadConfig(
                f"{cls.title} needs a resolution that is a multiple of {step} and at least {least}, not {resolution}"
            )

    @property
    def text_positions(self) -> int:
        """Return how many tokens of the text pass through the denoiser's blocks as the picture's places do."""
        return 0

    @abstractmethod
    def encode_prompts(self, prompts: Sequence[str]) -> Conditions:
        """Encode prompts to the denoiser's conditions, batch first; gradients flow into the text encoders."""

    def encode_framings(self, framings: Sequence[Framing]) -> Conditions:
        """Return conditions on how pictures were cut, batch first; nothing in most families."""
        return {}

    def token_ids(self, text: str) -> tuple[int, ...]:
        """Return a text's tokens in the vocabulary of the first text encoder, without markers."""
        return tuple(self.pipeline.tokenizer(text, add_special_tokens=False).input_ids)

    def prompt_ids(self, prompt: str) -> tuple[tuple[int, ...], ...]:
        """Return a prompt's tokens as each text encoder reads them, padded or cut to its length."""
        tokenizers = (getattr(self.pipeline, name.replace("text_encoder", "tokenizer")) for name in self.text_encoders)
        return tuple(tuple(tokenize(tokenizer, [prompt])[0].tolist()) for tokenizer in tokenizers)

    @abstractmethod
    def encode_pictures(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Encode pictures ``[n, 3, h, w]`` in [-1, 1] to scaled latent means and standard deviations."""

    @torch.no_grad()
    def encode_images(self, images: Sequence[Image.Image]) -> tuple[Tensor, Tensor]:
        """Encode pictures of one size as `encode_pictures` does, on the device of the autoencoder."""
        pixels = torch.from_numpy(np.stack([np.asarray(image.convert("RGB")) for image in images]))
        return self.encode_pictures(pixels.permute(0, 3, 1, 2).float() / 127.5 - 1)

    @abstractmethod
    def draw_timesteps(self, count: int, generator: torch.Generator, size: tuple[int, int] | None = None) -> Tensor:
        """Draw training timesteps, shape ``[count]``.

        Args:
            count: How many.
            generator: Where from.
            size: Height and width of the latents; some families train larger pictures at higher noise.
        """

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
    def min_snr_weights(self, timesteps: Tensor, gamma: float) -> Tensor:
        """Return min-SNR weights (arXiv 2303.09556) for squared errors of this family's prediction, ``[n]``.

        The weight is ``min(snr, gamma)`` on the squared error of the clean latents, carried over to the prediction.
        """

    @abstractmethod
    def predict(self, noised: Tensor, timesteps: Tensor, conditions: Conditions) -> Tensor:
        """Run the denoiser."""

    def sampler(self, name: str) -> Schedule:
        """Return a sampling schedule for the pipeline.

        Raises:
            BadConfig: If the family has none of this name.
        """
        if name not in self.samplers:
            raise BadConfig(f"unknown scheduler {name!r} for {self.title}; choose one of {', '.join(self.samplers)}")
        return self.build_schedule(self.pipeline.scheduler.config, name)

    @classmethod
    def build_schedule(cls, config: Mapping[str, Any], name: str | None = None) -> Schedule:
        """Build a sampling schedule from a scheduler's configuration: one of `samplers`, the usual one if not named."""
        import diffusers

        schedule = cls.samplers[name or next(iter(cls.samplers))]
        return getattr(diffusers, schedule).from_config(config)

    def sampling_arguments(self, prompts: Sequence[str], negative_prompt: str) -> dict[str, Any]:
        """Return the pipeline's arguments that say what to show.

        Raises:
            BadConfig: If a negative prompt is given to a family that knows none.
        """
        return {"prompt": list(prompts), "negative_prompt": [negative_prompt] * len(prompts)}


def tokenize(tokenizer: Tokenizer, prompts: Sequence[str], length: int | None = None) -> Tensor:
    """Return token ids ``[n, length]``, padded or cut to the tokenizer's length or a given one."""
    tokens = tokenizer(
        list(prompts),
        padding="max_length",
        max_length=length or tokenizer.model_max_length,
        truncation=True,
        return_tensors="pt",
    )
    ids: Tensor = tokens.input_ids
    return ids


def needs_upcast(vae: Autoencoder) -> bool:
    """Say whether an autoencoder is held in float16 and overflows there."""
    return bool(vae.dtype == torch.float16 and vae.config.get("force_upcast", False))


@contextmanager
def upcast(vae: Autoencoder) -> Iterator[None]:
    """Hold an autoencoder in float32 that overflows in float16: its configuration says ``force_upcast``."""
    if not needs_upcast(vae):
        yield
        return
    vae.to(dtype=torch.float32)
    try:
        yield
    finally:
        vae.to(dtype=torch.float16)


def encode_latents(vae: Autoencoder, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the autoencoder's posterior means and standard deviations in float32, shifted and scaled."""
    with torch.no_grad(), upcast(vae):
        posterior = vae.encode(pixels.to(vae.device, vae.dtype)).latent_dist
    mean, deviation = posterior.mean.float(), posterior.std.float()
    scale, shift = vae.config.scaling_factor, vae.config.get("shift_factor") or 0.0
    return (mean - shift) * scale, deviation * scale
