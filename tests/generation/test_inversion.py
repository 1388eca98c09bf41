"""DDIM in both directions: on an untrained base in float32, and on toyland as it ships."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import DDIMScheduler
from torch import Tensor

from portraitist.bases import Base, load_base
from portraitist.bases.examples import get_example
from portraitist.errors import BadConfig
from portraitist.generation.inversion import Ddim, Level, relative_error, slerp, step_down, step_up
from portraitist.generation.latents import encode_conditions, encode_image
from portraitist.photos import decode_photo
from portraitist.toyland.world.captions import SCENE_PHRASES

PROMPTS = ["a red robot on the beach", "a cat in the snow"]


@pytest.fixture(scope="module")
def base(tiny_base_folder: Path) -> Base:
    return load_base(tiny_base_folder)


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_refined_inversion_returns_the_latents_and_naive_inversion_drifts(base: Base) -> None:
    latents, ddim = draw(0, 1, 4, 8, 8), Ddim(base, steps=50)
    conditions = encode_conditions(base, PROMPTS[:1], latents)
    drift = {}
    for refinements in (0, 8):
        inversion = ddim.invert(latents, conditions, refinements)
        drift[refinements] = relative_error(ddim.sample(inversion.noise, conditions), latents)
        assert inversion.evaluations <= 50 * (1 + refinements)
    assert drift[8] <= 1e-2
    assert drift[8] * 5 <= drift[0]


@pytest.mark.weights
def test_a_photo_is_inverted_on_toyland() -> None:
    base = load_base("toyland")
    example = get_example("cat-1b7ecd")
    latents, ddim = encode_image(base, decode_photo(example.photos[0])), Ddim(base, steps=50)
    conditions = encode_conditions(base, [f"a photo of a cat {SCENE_PHRASES[example.scenes[0]][0]}"], latents)
    usual, refined = (
        relative_error(ddim.sample(ddim.invert(latents, conditions, refinements).noise, conditions), latents)
        for refinements in (0, 8)
    )
    assert refined <= 1e-2
    assert refined * 5 <= usual


def test_velocity_prediction_is_inverted_too(tiny_base_folder: Path) -> None:
    base = load_base(tiny_base_folder)
    scheduler = base.pipeline.scheduler
    base.pipeline.scheduler = type(scheduler).from_config(scheduler.config, prediction_type="v_prediction")
    latents, ddim = draw(0, 2, 4, 8, 8), Ddim(base, steps=20)
    conditions = encode_conditions(base, PROMPTS, latents)
    inversion = ddim.invert(latents, conditions)
    assert relative_error(ddim.sample(inversion.noise, conditions), latents) <= 1e-2


def test_sampling_agrees_with_diffusers(base: Base) -> None:
    noise = draw(1, 1, 4, 8, 8)
    pipeline, own = base.pipeline, base.pipeline.scheduler
    pipeline.scheduler = DDIMScheduler.from_config(own.config)
    try:
        wanted = pipeline(
            PROMPTS[0],
            negative_prompt="",
            latents=noise,
            num_inference_steps=10,
            guidance_scale=3.0,
            output_type="latent",
        ).images
    finally:
        pipeline.scheduler = own
    conditions, empty = (encode_conditions(base, [prompt], noise) for prompt in (PROMPTS[0], ""))
    found = Ddim(base, steps=10).sample(noise, conditions, unconditional=empty, guidance=3.0)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("eta", [0.5, 1.0])
def test_a_step_with_fresh_noise_agrees_with_diffusers(base: Base, eta: float) -> None:
    scheduler = DDIMScheduler.from_config(base.pipeline.scheduler.config)
    scheduler.set_timesteps(10)
    latents, eps, fresh = (draw(seed, 1, 4, 8, 8) for seed in range(3))
    level = Ddim(base, steps=10).levels[3]
    wanted = scheduler.step(eps, level.timestep, latents, eta=eta, variance_noise=fresh).prev_sample
    torch.testing.assert_close(step_down(latents, eps, level, eta, fresh), wanted, rtol=1e-4, atol=1e-5)


def test_a_step_up_undoes_a_step_down() -> None:
    latents, eps = draw(0, 1, 4, 8, 8).double(), draw(1, 1, 4, 8, 8).double()
    level = Level(timestep=500, alpha=0.3, alpha_below=0.4)
    torch.testing.assert_close(step_up(step_down(latents, eps, level), eps, level), latents)


def test_seeds_decide_fresh_noise_sample_by_sample(base: Base) -> None:
    noise, ddim = draw(0, 1, 4, 8, 8).repeat(2, 1, 1, 1), Ddim(base, steps=4)
    conditions = encode_conditions(base, PROMPTS[:1] * 2, noise)

    def sample(*seeds: int) -> Tensor:
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        return ddim.sample(noise, conditions, eta=1.0, generators=generators)

    first, second = sample(5, 6), sample(6, 5)
    assert relative_error(first[:1], first[1:]) > 1e-2
    torch.testing.assert_close(first, second.flip(0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_slerp_keeps_the_length_and_divides_the_angle(weight: float) -> None:
    first, second = draw(0, 1, 4, 8, 8).double(), draw(1, 1, 4, 8, 8).double()
    second = second * first.norm() / second.norm()
    mixed = slerp(first, second, weight)

    def angle(a: Tensor, b: Tensor) -> float:
        return float(torch.arccos(((a * b).sum() / a.norm() / b.norm()).clamp(-1, 1)))

    assert float(mixed.norm() / first.norm()) == pytest.approx(1)
    assert angle(first, mixed) == pytest.approx(weight * angle(first, second), abs=1e-6)


def test_slerp_of_parallel_noises_is_finite() -> None:
    noise = draw(0, 2, 4, 8, 8)
    torch.testing.assert_close(slerp(noise, noise, 0.5), noise)


@pytest.mark.parametrize("steps", [0, 1001])
def test_refuses_a_number_of_steps_that_cannot_work(base: Base, steps: int) -> None:
    with pytest.raises(BadConfig, match="1 to 999 steps"):
        Ddim(base, steps)


def test_names_a_base_whose_noise_is_not_ddims(base: Base) -> None:
    class Flow:
        name = "flow"

    with pytest.raises(BadConfig, match="my-flow is a flow model"):
        Ddim(replace(base, name="my-flow", family=Flow()))  # type: ignore[arg-type]
