"""What every family must agree on with its diffusers pipeline, on tiny models; then what only one of them does."""

import math
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, FluxPipeline
from diffusers.pipelines.flux.pipeline_flux import calculate_shift
from tiny_models import KINDS, save_tiny
from transformers import CLIPTokenizer

from portraitist.bases import Base, load_base
from portraitist.bases.families import FAMILIES, Flux, Framing, StableDiffusion, upcast
from portraitist.bases.families.flux import pack, positions, time_shift, unpack
from portraitist.errors import BadConfig
from portraitist.generation import SamplingConfig, generate

PROMPTS = ["a photo of a cat", "a red robot on the beach"]


@pytest.fixture(scope="module")
def bases(clip_tokenizer: CLIPTokenizer, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Base]:
    root = tmp_path_factory.mktemp("families")
    return {kind: load_base(save_tiny(kind, clip_tokenizer, root / kind)) for kind in KINDS}


@pytest.fixture(params=KINDS)
def base(request: pytest.FixtureRequest, bases: dict[str, Base]) -> Base:
    return bases[request.param]


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def latents(base: Base, count: int = 2) -> torch.Tensor:
    return torch.randn(count, 4, 8, 8, generator=generator())


def test_every_pipeline_has_one_family() -> None:
    names = [pipeline for family in FAMILIES for pipeline in family.pipelines]
    assert len(set(names)) == len(names)


def test_its_parts_are_there(base: Base) -> None:
    family = base.family
    assert set(family.components) == {family.denoiser_name, *family.text_encoders}
    assert family.resolution == 32
    assert family.token_ids("cat") == tuple(family.pipeline.tokenizer("cat", add_special_tokens=False).input_ids)


def test_pictures_of_another_side_are_trained_on_and_made(base: Base) -> None:
    family = base.family
    step = 8 if isinstance(family, Flux) else 4
    own = family.resolution
    try:
        for wrong in (own + 1, own + step // 2, 0, -step, 4 * step):
            with pytest.raises(BadConfig, match=rf"multiple of {step} and at least {8 * step}, not {wrong}"):
                family.choose_resolution(wrong)
        assert family.resolution == own
        family.choose_resolution(own + 4 * step)
        assert (family.resolution, family.own_resolution) == (own + 4 * step, own)
        (made,) = generate(base, ["a cat"], config=SamplingConfig(steps=1), show_progress=False)
        assert made.image.size == (family.resolution, family.resolution)
    finally:
        family._resolution = None


def test_prompts_are_read_as_the_pipeline_reads_them(base: Base) -> None:
    found = base.family.encode_prompts(PROMPTS)
    pipeline = base.pipeline
    if isinstance(base.family, Flux):
        states, pooled, _ = pipeline.encode_prompt(PROMPTS, None, max_sequence_length=base.family.prompt_tokens)
        expected = {"encoder_hidden_states": states, "pooled_projections": pooled}
    elif base.family.name == "sdxl":
        states, _, pooled, _ = pipeline.encode_prompt(PROMPTS, do_classifier_free_guidance=False)
        expected = {"encoder_hidden_states": states, "text_embeds": pooled}
    else:
        states, _ = pipeline.encode_prompt(PROMPTS, "cpu", 1, False)
        expected = {"encoder_hidden_states": states}
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.allclose(found[name], value, atol=1e-6), name


def test_latents_come_back_as_the_pipeline_decodes_them(base: Base) -> None:
    pixels = torch.rand(1, 3, 32, 32, generator=generator()) * 2 - 1
    mean, deviation = base.family.encode_pictures(pixels)
    vae = base.pipeline.vae
    undone = mean / vae.config.scaling_factor + (vae.config.shift_factor or 0)
    assert torch.allclose(undone, vae.encode(pixels).latent_dist.mean, atol=1e-5)
    assert (deviation > 0).all()


def test_a_perfect_prediction_gives_the_latents_back(base: Base) -> None:
    family, x = base.family, latents(base, 64)
    noise = torch.randn(x.shape, generator=generator().manual_seed(1))
    timesteps = family.draw_timesteps(64, generator(), (8, 8))
    assert timesteps.shape == (64,)
    noised, target = family.add_noise(x, noise, timesteps), family.target(x, noise, timesteps)
    signal, spread = levels(base, timesteps)
    assert torch.allclose(noised, signal * x + spread * noise, atol=1e-5)
    prediction = base.pipeline.scheduler.config.get("prediction_type")
    expected = {"epsilon": noise, "v_prediction": signal * noise - spread * x}.get(prediction, noise - x)
    assert torch.allclose(target, expected, atol=1e-5)
    assert torch.allclose(family.snr(timesteps), (signal / spread).square().flatten(), rtol=1e-3)


@pytest.mark.parametrize("gamma", [1.0, 5.0])
def test_min_snr_weighs_the_error_of_the_clean_latents(base: Base, gamma: float) -> None:
    """An error of one in the prediction is an error of `scale` in the clean latents."""
    timesteps = base.family.draw_timesteps(64, generator(), (8, 8))
    signal, spread = (level.flatten() for level in levels(base, timesteps))
    prediction = base.pipeline.scheduler.config.get("prediction_type")
    scale = spread / signal if prediction == "epsilon" else spread
    expected = (signal / spread).square().clamp(max=gamma) * scale.square()
    assert torch.allclose(base.family.min_snr_weights(timesteps, gamma), expected, rtol=1e-3)


def levels(base: Base, timesteps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return how much of the latents and of the noise there is at the timesteps, written out."""
    if isinstance(base.family, Flux):
        time = (timesteps / 1000).reshape(-1, 1, 1, 1)
        return 1 - time, time
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64).square()
    kept = torch.cumprod(1 - betas, 0)[timesteps].reshape(-1, 1, 1, 1)
    return kept.sqrt().float(), (1 - kept).sqrt().float()


def test_predictions_have_the_shape_of_latents_and_heed_the_prompt(base: Base) -> None:
    family, x = base.family, latents(base)
    framings = family.encode_framings([Framing.whole(32, 32)] * 2)
    timesteps = family.draw_timesteps(2, generator(), (8, 8))
    first, second = (
        family.predict(x, timesteps, {**family.encode_prompts([prompt] * 2), **framings}) for prompt in PROMPTS
    )
    assert first.shape == x.shape
    assert not torch.allclose(first, second, atol=1e-6)


def test_gradients_reach_every_text_encoder(base: Base) -> None:
    family = base.family
    tables = [family.components[name].get_input_embeddings().weight for name in family.text_encoders]
    for table in tables:
        table.requires_grad_(True)
    conditions = {**family.encode_prompts(PROMPTS), **family.encode_framings([Framing.whole(32, 32)] * 2)}
    family.predict(latents(base), family.draw_timesteps(2, generator(), (8, 8)), conditions).square().sum().backward()
    for table in tables:
        assert table.grad is not None
        assert table.grad.abs().max() > 0
        table.grad = None
        table.requires_grad_(False)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_bases_predict(
    clip_tokenizer: CLIPTokenizer, tmp_path: Path, kind: str, dtype: torch.dtype
) -> None:
    base = load_base(save_tiny(kind, clip_tokenizer, tmp_path), dtype=dtype)
    family = base.family
    mean, _ = family.encode_pictures(torch.zeros(2, 3, 32, 32))
    assert mean.dtype == torch.float32
    assert base.pipeline.vae.dtype == dtype
    conditions = {**family.encode_prompts(PROMPTS), **family.encode_framings([Framing.whole(32, 32)] * 2)}
    prediction = family.predict(mean.to(dtype), family.draw_timesteps(2, generator(), (8, 8)), conditions)
    assert prediction.dtype == dtype
    assert prediction.isfinite().all()


@pytest.mark.parametrize("overflows", [True, False])
def test_an_autoencoder_that_overflows_is_in_float32_for_a_while(overflows: bool) -> None:
    vae = AutoencoderKL(block_out_channels=(32,), force_upcast=overflows).to(torch.float16)
    with suppress(ZeroDivisionError), upcast(vae):
        during = vae.dtype
        raise ZeroDivisionError
    assert during == (torch.float32 if overflows else torch.float16)
    assert vae.dtype == torch.float16


def test_unknown_samplers_are_refused(base: Base) -> None:
    with pytest.raises(BadConfig, match=f"unknown scheduler 'heun' for {base.family.title}; choose one of"):
        base.family.sampler("heun")


def test_xl_heeds_how_a_picture_was_cut(bases: dict[str, Base]) -> None:
    family = bases["sdxl"].family
    framing = Framing(original=(480, 640), crop=(0, 80), target=(1024, 1024))
    ids = family.encode_framings([framing, Framing.whole(32, 32)])["time_ids"]
    assert ids.tolist() == [[480, 640, 0, 80, 1024, 1024], [32, 32, 0, 0, 32, 32]]
    assert (
        ids[1].tolist()
        == bases["sdxl"]
        .pipeline._get_add_time_ids((32, 32), (0, 0), (32, 32), torch.float32, text_encoder_projection_dim=48)
        .flatten()
        .tolist()
    )
    prompts = family.encode_prompts(PROMPTS[:1] * 2)
    outputs = family.predict(
        latents(bases["sdxl"], 1).repeat(2, 1, 1, 1), torch.tensor([500, 500]), {**prompts, "time_ids": ids}
    )
    assert not torch.allclose(outputs[0], outputs[1], atol=1e-6)


def test_flux_folds_latents_as_its_pipeline_does() -> None:
    x = torch.randn(2, 4, 6, 8, generator=generator())
    packed = pack(x)
    assert torch.equal(packed, FluxPipeline._pack_latents(x, 2, 4, 6, 8))
    assert torch.equal(unpack(packed, 6, 8), x)
    expected = FluxPipeline._prepare_latent_image_ids(2, 3, 4, "cpu", torch.float32)
    assert torch.equal(positions(3, 4).float(), expected)


def test_flux_shifts_times_as_it_samples(bases: dict[str, Base]) -> None:
    scheduler = bases["flux"].pipeline.scheduler.config
    for tokens in (16, 256, 1024, 4096):
        assert time_shift(scheduler, tokens) == pytest.approx(calculate_shift(tokens, 256, 4096, 0.5, 1.15))
    medians = [
        bases["flux"].family.draw_timesteps(20_000, generator(), size).median() / 1000
        for size in ((32, 32), (128, 128))
    ]
    for median, shift in zip(
        medians, (0.5, 1.15), strict=True
    ):  # the median of a logit-normal is the sigmoid of its mean
        assert float(median) == pytest.approx(1 / (1 + math.exp(-shift)), abs=0.01)


def test_flux_refuses_what_to_keep_away_from(bases: dict[str, Base]) -> None:
    with pytest.raises(BadConfig, match="takes no negative prompt"):
        bases["flux"].family.sampling_arguments(["a cat"], "blurry")


def test_other_predictions_and_inputs_are_refused(clip_tokenizer: CLIPTokenizer, tmp_path: Path) -> None:
    pipeline = load_base(save_tiny("sd1", clip_tokenizer, tmp_path)).pipeline
    pipeline.scheduler.register_to_config(prediction_type="sample")
    with pytest.raises(BadConfig, match="this base predicts 'sample'"):
        StableDiffusion(pipeline)
    pipeline.scheduler.register_to_config(prediction_type="epsilon")
    pipeline.unet.register_to_config(in_channels=9)
    with pytest.raises(BadConfig, match="made for inpainting or editing"):
        StableDiffusion(pipeline)
