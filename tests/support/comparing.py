"""A tiny pipeline, adapters with random parameters on it, and what it and others make of the same inputs."""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline
from torch import Tensor, nn

from portraitist.adapters import Adapter, attached

Outputs = tuple[Tensor, Tensor]


class TinyPipeline:
    """The tiny base: adapters are drawn on its components, other libraries change copies of it."""

    def __init__(self, folder: Path, draw: Callable[..., Adapter]) -> None:
        self.folder = folder
        self._draw = draw

    def load(self) -> StableDiffusionPipeline:
        """Load a copy that may be changed."""
        return StableDiffusionPipeline.from_pretrained(self.folder, safety_checker=None)

    @cached_property
    def components(self) -> dict[str, nn.Module]:
        """Return the copy that adapters are attached to; it stays as it is."""
        pipeline = self.load()
        return {"unet": pipeline.unet, "text_encoder": pipeline.text_encoder}

    @cached_property
    def frozen(self) -> Outputs:
        """Return what it makes without any adapter."""
        return outputs(self.components["unet"], self.components["text_encoder"])

    def draw(self, method: str, patterns: tuple[str, ...], size: float = 0.1, **config: object) -> Adapter:
        """Make an adapter whose every parameter is random."""
        return self._draw(self.components, method, patterns, size, **config)

    def adapted(self, adapter: Adapter, scale: float = 1.0) -> Outputs:
        """Return what it makes with an adapter."""
        with attached(self.components, adapter, scale):
            return outputs(self.components["unet"], self.components["text_encoder"])

    def require_same(self, first: Outputs, second: Outputs, tolerance: float = 1e-5) -> None:
        """Require two pairs of outputs to be equal, and to differ from the frozen base's."""
        for one, other in zip(first, second, strict=True):
            torch.testing.assert_close(one, other, atol=tolerance * float(other.abs().max()), rtol=0)
        change = float((first[1] - self.frozen[1]).abs().max())
        assert change > 100 * tolerance * float(self.frozen[1].abs().max())


@torch.no_grad()
def outputs(unet: nn.Module, text_encoder: nn.Module) -> Outputs:
    """Run a text encoder, and a UNet on what it says."""
    generator = torch.Generator().manual_seed(5)
    ids = torch.randint(0, 700, (2, 24), generator=generator)
    latents = torch.randn(2, 4, 8, 8, generator=generator)
    states = text_encoder(ids)[0]
    return states, unet(latents, torch.tensor([10, 700]), encoder_hidden_states=states).sample
