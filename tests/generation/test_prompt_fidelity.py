"""Which prompt describes a picture, asked of a base that knows exactly one picture by its prompt."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from portraitist.bases import Base, load_base
from portraitist.bases.families import Conditions, StableDiffusion
from portraitist.generation.latents import encode_image
from portraitist.generation.prompt_fidelity import CONTRASTS, compare_prompts, denoising_losses, source_warnings

KNOWN = "a red robot on the beach"


class Knowing(StableDiffusion):
    """Predicts the noise well under the known prompt, worse under any other."""

    latents: Tensor
    known: str = KNOWN

    def encode_prompts(self, prompts: Sequence[str]) -> Conditions:
        return {"error": torch.tensor([0.2 if prompt == self.known else 0.3 for prompt in prompts])}

    def predict(self, noised: Tensor, timesteps: Tensor, conditions: Conditions) -> Tensor:
        alpha = self.noise_schedule.alphas_cumprod[timesteps].reshape(-1, 1, 1, 1)
        noise = (noised - alpha**0.5 * self.latents) / (1 - alpha) ** 0.5
        return noise * (1 + conditions["error"].reshape(-1, 1, 1, 1))


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    return Image.effect_mandelbrot((32, 32), (-2, -1.5, 1, 1.5), 50).convert("RGB")


@pytest.fixture
def base(tiny_base_folder: Path, picture: Image.Image) -> Base:
    base = load_base(tiny_base_folder)
    family = Knowing(base.pipeline)
    family.latents = encode_image(base, picture)
    return replace(base, family=family)


def test_losses_share_their_noise_and_follow_the_seed(base: Base, picture: Image.Image) -> None:
    losses = denoising_losses(base, picture, [KNOWN, "", KNOWN], draws=5)
    assert losses.shape == (3, 5)
    assert torch.equal(losses[0], losses[2])
    torch.testing.assert_close(losses[1], losses[0] * (0.3 / 0.2) ** 2, rtol=1e-3, atol=1e-5)
    assert torch.equal(losses, denoising_losses(base, picture, [KNOWN, "", KNOWN], draws=5))
    assert not torch.equal(losses, denoising_losses(base, picture, [KNOWN, "", KNOWN], draws=5, seed=1))


def test_the_right_prompt_has_a_clear_advantage(base: Base, picture: Image.Image) -> None:
    (advantage,) = compare_prompts(base, picture, KNOWN, [""])
    assert advantage.is_clear
    assert advantage.mean == pytest.approx(0.3**2 - 0.2**2, rel=0.1)
    (reverse,) = compare_prompts(base, picture, "", [KNOWN])
    assert reverse.is_reversed
    assert reverse.mean == -advantage.mean


def test_a_source_prompt_that_describes_the_picture_is_passed_over(base: Base, picture: Image.Image) -> None:
    assert source_warnings(base, picture, KNOWN, "a red robot in the snow") == []


def test_warns_of_a_source_prompt_no_better_than_none(base: Base, picture: Image.Image) -> None:
    (warning,) = source_warnings(base, picture, "a cat in space", "a red robot in the snow")
    assert "'a cat in space' describes the picture no better than no prompt" in warning


def test_warns_of_exchanged_prompts(base: Base, picture: Image.Image) -> None:
    warnings = source_warnings(base, picture, "a red robot in the snow", KNOWN)
    assert any("were they swapped?" in warning for warning in warnings)


def test_names_a_prompt_of_another_picture_that_fits_better(base: Base, picture: Image.Image) -> None:
    base.family.known = CONTRASTS[1]  # type: ignore[attr-defined]
    warnings = source_warnings(base, picture, KNOWN, "a red robot in the snow")
    assert any(f"{CONTRASTS[1]!r} describes the picture better" in warning for warning in warnings)
