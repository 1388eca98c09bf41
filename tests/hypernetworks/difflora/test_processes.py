"""Every process finds a latent that its network knows, from noise and in a few steps."""

import pytest
import torch
from torch import Tensor

from portraitist.hypernetworks.difflora.processes import PROCESSES, LatentProcess
from portraitist.hypernetworks.difflora.settings import GeneratorSettings

SETTINGS = GeneratorSettings(depth=1, width=8, heads=1, tokens=2)
KNOWN = torch.tensor([[1.0, -2.0, 0.5]])


def process(name: str) -> LatentProcess:
    return PROCESSES[name](SETTINGS)


def oracle(name: str) -> object:
    """Return what a perfect network of a process says where there is one latent alone."""

    def network(latents: Tensor, timesteps: Tensor) -> Tensor:
        if name == "flow":  # from x = (1 - t) known + t noise to noise - known
            share = timesteps.unsqueeze(1) / SETTINGS.timesteps
            return (latents - KNOWN) / share.clamp(min=1e-6)
        return KNOWN.expand_as(latents)

    return network


@pytest.mark.parametrize("name", PROCESSES)
@pytest.mark.parametrize("steps", [1, 7])
def test_what_is_known_is_made(name: str, steps: int) -> None:
    noise = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    made = process(name).make(oracle(name), noise, steps)  # type: ignore[arg-type]
    torch.testing.assert_close(made, KNOWN.expand(4, -1), atol=2e-2, rtol=0)


@pytest.mark.parametrize("name", PROCESSES)
def test_a_perfect_network_has_no_error(name: str) -> None:
    generator = torch.Generator().manual_seed(0)
    errors = process(name).errors(oracle(name), KNOWN.expand(16, -1), generator)  # type: ignore[arg-type]
    assert errors.shape == (16,)
    assert float(errors.max()) < 1e-4


def test_only_regression_draws_nothing() -> None:
    assert {name: process(name).draws for name in PROCESSES} == {"diffusion": True, "flow": True, "regression": False}
