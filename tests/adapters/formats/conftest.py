"""A tiny pipeline, adapters with random parameters on it, and what both make of the same inputs."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline
from torch import Tensor, nn

from portraitist.adapters import Adapter, attached

Outputs = tuple[Tensor, Tensor]


@pytest.fixture
def load_pipeline(tiny_base_folder: Path) -> Callable[[], StableDiffusionPipeline]:
    """Return a function that loads the tiny base anew."""

    def load() -> StableDiffusionPipeline:
        return StableDiffusionPipeline.from_pretrained(tiny_base_folder, safety_checker=None)

    return load


@pytest.fixture
def components(load_pipeline: Callable[[], StableDiffusionPipeline]) -> dict[str, nn.Module]:
    pipeline = load_pipeline()
    return {"unet": pipeline.unet, "text_encoder": pipeline.text_encoder}


@pytest.fixture
def make_adapter(components: dict[str, nn.Module], draw_adapter: Callable[..., Adapter]) -> Callable[..., Adapter]:
    """Return a function that makes an adapter on the tiny pipeline, its every parameter random."""
    return partial(draw_adapter, components)


@pytest.fixture
def outputs() -> Callable[[nn.Module, nn.Module], Outputs]:
    """Return a function that runs a text encoder, and a UNet on what it says."""

    @torch.no_grad()
    def run(unet: nn.Module, text_encoder: nn.Module) -> Outputs:
        generator = torch.Generator().manual_seed(5)
        ids = torch.randint(0, 700, (2, 24), generator=generator)
        latents = torch.randn(2, 4, 8, 8, generator=generator)
        states = text_encoder(ids)[0]
        return states, unet(latents, torch.tensor([10, 700]), encoder_hidden_states=states).sample

    return run


@pytest.fixture
def adapted(components: dict[str, nn.Module], outputs: Callable[..., Outputs]) -> Callable[[Adapter, float], Outputs]:
    """Return a function that runs the components with an adapter attached."""

    def run(adapter: Adapter, scale: float = 1.0) -> Outputs:
        with attached(components, adapter, scale):
            return outputs(components["unet"], components["text_encoder"])

    return run


@pytest.fixture
def same(components: dict[str, nn.Module], outputs: Callable[..., Outputs]) -> Callable[..., None]:
    """Return a function that requires two pairs of outputs to be equal, and to differ from the frozen base's."""
    frozen = outputs(components["unet"], components["text_encoder"])

    def require(first: Outputs, second: Outputs, tolerance: float = 1e-5) -> None:
        for one, other in zip(first, second, strict=True):
            torch.testing.assert_close(one, other, atol=tolerance * float(other.abs().max()), rtol=0)
        assert float((first[1] - frozen[1]).abs().max()) > 100 * tolerance * float(frozen[1].abs().max())

    return require
