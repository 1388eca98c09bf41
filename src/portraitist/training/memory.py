"""Trading time for memory while an adapter is trained."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from portraitist.bases import Base
from portraitist.generation import SamplingConfig
from portraitist.training.recipes import Recipe
from portraitist.training.recipes.groups import MemorySettings


def pictures_at_once(base: Base, recipe: Recipe) -> int:
    """Return how many pictures are sampled together while a recipe is at work.

    A picture takes two rows of the denoiser, with and without the prompt; a training step has as many with class
    images, and keeps them for the backward pass. The base that ships is small, and time matters more there.
    """
    return SamplingConfig().batch_size if base.is_builtin else recipe.batch_size


@contextmanager
def decoding_singly(base: Base) -> Iterator[None]:
    """Let the autoencoder decode picture by picture for a while, as it needs more than the denoiser for each."""
    vae = base.pipeline.vae
    was_slicing = vae.use_slicing
    if not base.is_builtin:
        vae.enable_slicing()
    try:
        yield
    finally:
        vae.use_slicing = was_slicing


class Offload:
    """Keeps the autoencoder, and text encoders that are not trained, on the CPU.

    Args:
        base: The base.
        settings: Says whether.
        trains_text: Whether a text encoder is trained, so that all stay.
    """

    def __init__(self, base: Base, settings: MemorySettings, trains_text: bool) -> None:
        names = ("vae", *(() if trains_text else base.family.text_encoders)) if settings.offload else ()
        self.modules = [module for name in names if (module := getattr(base.pipeline, name)) is not None]
        self.device = base.device
        self._is_away = False

    @contextmanager
    def away(self) -> Iterator[None]:
        """Keep them away for a while."""
        self._send("cpu")
        self._is_away = True
        try:
            yield
        finally:
            self._is_away = False
            self._send(self.device)

    @contextmanager
    def awake(self) -> Iterator[None]:
        """Bring them back for a while, if they are away."""
        if not self._is_away:
            yield
            return
        self._send(self.device)
        try:
            yield
        finally:
            self._send("cpu")

    def _send(self, device: torch.device | str) -> None:
        for module in self.modules:
            module.to(device)


@contextmanager
def checkpointed(base: Base, settings: MemorySettings) -> Iterator[None]:
    """Let the denoiser compute its activations again in the backward pass, for a while."""
    if not settings.checkpoint_activations:
        yield
        return
    denoiser = base.family.denoiser
    denoiser.enable_gradient_checkpointing()  # type: ignore[operator]
    try:
        yield
    finally:
        denoiser.disable_gradient_checkpointing()  # type: ignore[operator]
