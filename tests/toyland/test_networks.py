"""The stages' networks: each task learns, and its formulas hold."""

import numpy as np
import pytest
import torch
from stand_in_world import stand_in_world
from torch import Tensor
from torch.nn import functional as F
from transformers import CLIPTokenizer

from portraitist.evaluation.encoders import PictureNetwork
from portraitist.toyland.autoencoder import (
    AutoencoderTask,
    build_autoencoder,
    pyramid_error,
    reconstruction_error,
    scaled,
)
from portraitist.toyland.config import ToylandConfig
from portraitist.toyland.decoder import DecoderTask
from portraitist.toyland.denoiser import DenoiserTask, build_denoiser, build_scheduler, validation_error
from portraitist.toyland.latents import Encoded, encode_pictures, unit_scale
from portraitist.toyland.pictures import Dataset, as_floats, hold_pictures
from portraitist.toyland.text_encoder import (
    ContrastiveTask,
    Matching,
    build_text_encoder,
    embed_captions,
    retrieval_accuracy,
    shrunk,
    token_lengths,
    without_projection,
)
from portraitist.toyland.tokenizer import single_token, tokenize, train_tokenizer
from portraitist.training.loop.loop import Loop, LoopConfig
from portraitist.training.networks.machine import Machine

WORLD = stand_in_world()
MACHINE = Machine()


@pytest.fixture(scope="module")
def data() -> Dataset:
    return hold_pictures(WORLD, 16, "train", 1, 2, "cpu")


@pytest.fixture(scope="module")
def tokenizer(data: Dataset, tiny_config: ToylandConfig) -> CLIPTokenizer:
    captions = (caption for row in data.captions for caption in row)
    config = tiny_config.text_encoder
    return train_tokenizer(captions, WORLD.identifiers, config.vocabulary, config.tokens)


# The autoencoder and its decoder


def test_the_autoencoder_learns_to_reconstruct(data: Dataset, tiny_config: ToylandConfig) -> None:
    config = tiny_config.autoencoder.model_copy(update={"batch_size": 8, "learning_rate": 2e-2})
    torch.manual_seed(0)
    model = build_autoencoder(config, WORLD.resolution)
    before = reconstruction_error(model.eval(), data.pictures)
    task = AutoencoderTask(model, data.pictures, config, WORLD.resolution, MACHINE)
    Loop(task, LoopConfig(steps=40, optimizer="muon", schedule="cosine")).run()
    assert reconstruction_error(model.eval(), data.pictures, batch_size=5) < 0.7 * before
    latents = encode_pictures(model, data.pictures, batch_size=3)
    assert latents.shape == (16, config.latent_channels, 8, 8)
    expected = model.encode(as_floats(data.pictures.whole(np.arange(16)))).latent_dist.mean
    torch.testing.assert_close(latents.float(), expected, atol=2e-2, rtol=2e-3)
    assert (latents.float() * unit_scale(latents)).std().item() == pytest.approx(1.0, abs=0.01)
    assert len(encode_pictures(model, data.pictures, most=5)) == 5


def test_steps_see_crops_whole_pictures_and_smaller_latents(data: Dataset, tiny_config: ToylandConfig) -> None:
    torch.manual_seed(0)
    config = tiny_config.autoencoder.model_copy(update={"whole": 0.3, "batch_size": 8})
    task = AutoencoderTask(build_autoencoder(config, 64), data.pictures, config, 64, MACHINE)
    seen: list[tuple[int, int, int]] = []
    encode, decode = task.model.encode, task.model.decode

    def remember(pixels: Tensor) -> object:
        seen.append((len(pixels), pixels.shape[-1], 0))
        return encode(pixels)

    def remember_latents(latents: Tensor) -> object:
        seen[-1] = (*seen[-1][:2], latents.shape[-1])
        return decode(latents)

    task.model.encode, task.model.decode = remember, remember_latents
    for step in range(25):
        task.step(step, 0)
    assert set(seen) == {(2, 64, 8), (8, 32, 4), (8, 32, 3), (8, 32, 2), (8, 32, 1)}


def test_latents_and_pictures_are_made_smaller_alike() -> None:
    latents, pixels = scaled(torch.ones(2, 4, 8, 8), torch.full((2, 3, 64, 64), 0.5), 0.75)
    assert latents.shape == (2, 4, 6, 6)
    assert pixels.shape == (2, 3, 48, 48)
    torch.testing.assert_close(pixels, torch.full_like(pixels, 0.5))


def test_the_pyramid_takes_a_difference_apart() -> None:
    generator = torch.Generator().manual_seed(0)
    difference = torch.randn(2, 3, 16, 16, generator=generator)
    expected, level = torch.zeros(()), difference
    for _ in range(2):
        coarse = F.avg_pool2d(level, 2)
        expected = expected + (level - coarse.repeat_interleave(2, 2).repeat_interleave(2, 3)).abs().mean()
        level = coarse
    torch.testing.assert_close(pyramid_error(difference, 2), expected + level.abs().mean())
    flat = torch.full((1, 3, 16, 16), 0.25)
    torch.testing.assert_close(pyramid_error(flat, 3), torch.tensor(0.25))


def test_refining_the_decoder_leaves_latents_alone(data: Dataset, tiny_config: ToylandConfig) -> None:
    torch.manual_seed(0)
    model = build_autoencoder(tiny_config.autoencoder, WORLD.resolution)
    config = tiny_config.decoder.model_copy(update={"batch_size": 4})
    pixels = as_floats(data.pictures.whole(np.arange(4)))
    latents = model.encode(pixels).latent_dist.mean.detach()
    before = reconstruction_error(model.eval(), data.pictures)
    task = DecoderTask(model, data.pictures, config, MACHINE)
    outcome = Loop(task, LoopConfig(steps=12, log_every=1)).run()
    torch.testing.assert_close(model.encode(pixels).latent_dist.mean, latents)
    assert reconstruction_error(model.eval(), data.pictures) < before
    assert outcome.history[-1]["discriminator"] < outcome.history[0]["discriminator"]


def test_the_decoder_is_moved_to_where_the_discriminator_sees_what_is_real(
    data: Dataset, tiny_config: ToylandConfig
) -> None:
    torch.manual_seed(0)
    model = build_autoencoder(tiny_config.autoencoder, WORLD.resolution)
    task = DecoderTask(model, data.pictures, tiny_config.decoder, MACHINE)
    real = as_floats(data.pictures.whole(np.arange(2)))
    made, latents = real + 0.3 * torch.randn(real.shape), torch.zeros(2, 4, 8, 8)
    correction = task._correction(real, made, latents)
    assert correction.std().item() == pytest.approx(1.0, rel=1e-3)
    wanted = task.discriminator(real, latents)
    distances = [F.mse_loss(task.discriminator(made + size * correction, latents), wanted).item() for size in (0, 0.01)]
    assert distances[1] < distances[0]


# The tokenizer and the text encoder


def test_every_identifier_is_one_token_of_its_own(tokenizer: CLIPTokenizer) -> None:
    assert all(single_token(tokenizer, word) for word in WORLD.identifiers)
    assert not single_token(tokenizer, "incomprehensibilities")


def test_captions_come_back_from_their_tokens(tokenizer: CLIPTokenizer, data: Dataset) -> None:
    ids = tokenize(tokenizer, data.captions)
    assert ids.shape == (16, 2, tokenizer.model_max_length)
    assert ids.dtype == torch.int16
    for row, captions in zip(ids, data.captions, strict=True):
        for tokens, caption in zip(row, captions, strict=True):
            assert tokenizer.decode(tokens, skip_special_tokens=True).replace(" ", "") == caption.replace(" ", "")


def test_captions_find_their_pictures(data: Dataset, tokenizer: CLIPTokenizer, tiny_config: ToylandConfig) -> None:
    config = tiny_config.text_encoder.model_copy(update={"batch_size": 16, "learning_rate": 3e-3})
    ids = tokenize(tokenizer, data.captions)
    torch.manual_seed(0)
    networks = Matching(build_text_encoder(config, tokenizer), PictureNetwork((16, 32), config.embedding))
    Loop(ContrastiveTask(networks, data.pictures, ids, config, MACHINE), LoopConfig(steps=60)).run()
    networks.eval()

    def pixels(rows: slice) -> Tensor:
        return shrunk(data.pictures, np.arange(rows.start, rows.stop), config.shrink)

    assert retrieval_accuracy(networks, pixels, ids[:, 0], among=8) > 0.7
    assert retrieval_accuracy(networks, pixels, ids[:, 0].flip(0), among=8) < 0.5


def test_embedding_in_groups_of_similar_length_changes_nothing(
    tokenizer: CLIPTokenizer, data: Dataset, tiny_config: ToylandConfig
) -> None:
    torch.manual_seed(0)
    text = build_text_encoder(tiny_config.text_encoder, tokenizer).eval()
    ids = tokenize(tokenizer, [["", *(row[0] for row in data.captions[:8]), "a disc"]])[0].long()
    embedded = embed_captions(text, ids, token_lengths(ids, tokenizer.eos_token_id), groups=3)
    torch.testing.assert_close(embedded, text(ids).text_embeds, atol=1e-5, rtol=1e-4)
    states = without_projection(text).eval()(ids).last_hidden_state
    torch.testing.assert_close(states, text(ids).last_hidden_state)


# The denoiser


def denoiser_task(tokenizer: CLIPTokenizer, config: ToylandConfig, **changes: object) -> DenoiserTask:
    settings = config.denoiser.model_copy(update=changes)
    torch.manual_seed(0)
    text = without_projection(build_text_encoder(config.text_encoder, tokenizer))
    unet = build_denoiser(settings, 8, config.autoencoder.latent_channels, config.text_encoder.width)
    latents = torch.randn(8, config.autoencoder.latent_channels, 8, 8).half()
    captions = [[f"a red {shape} in the {place}"] for shape in ("disc", "ring") for place in "abcd"]
    empty = tokenize(tokenizer, [[""]])[0, 0]
    return DenoiserTask(unet, text, Encoded(latents, tokenize(tokenizer, captions)), empty, settings, MACHINE)


def test_the_denoiser_learns(tokenizer: CLIPTokenizer, tiny_config: ToylandConfig) -> None:
    task = denoiser_task(tokenizer, tiny_config, batch_size=8, learning_rate=5e-3)
    before = validation_error(task, task.data)
    Loop(task, LoopConfig(steps=40, optimizer="muon")).run()
    assert validation_error(task, task.data) < 0.8 * before


def test_noise_is_added_as_the_schedule_says(tokenizer: CLIPTokenizer, tiny_config: ToylandConfig) -> None:
    task = denoiser_task(tokenizer, tiny_config)
    scheduler, timesteps = build_scheduler(), torch.tensor([0, 400, 999])
    latents, noise = torch.randn(3, 4, 16, 16), torch.randn(3, 4, 16, 16)
    place = timesteps[:, None, None, None]
    ours = task.signal[place] * latents + task.noise[place] * noise
    torch.testing.assert_close(ours, scheduler.add_noise(latents, noise, timesteps))
    alphas = scheduler.alphas_cumprod
    expected = ((alphas / (1 - alphas)).clamp(max=5.0) * (1 - alphas) / alphas).float()
    torch.testing.assert_close(task.weights, expected, rtol=1e-3, atol=1e-5)


def test_timesteps_are_drawn_where_they_matter(tokenizer: CLIPTokenizer, tiny_config: ToylandConfig) -> None:
    task = denoiser_task(tokenizer, tiny_config, drawn_timesteps=1.0, log_sigma=(-0.4, 1.0))
    drawn = task.draw_timesteps(4000, torch.Generator().manual_seed(0))
    sigmas = task.log_sigmas[drawn]
    assert sigmas.mean().item() == pytest.approx(-0.4, abs=0.05)
    assert sigmas.std().item() == pytest.approx(1.0, abs=0.05)
    task = denoiser_task(tokenizer, tiny_config, drawn_timesteps=0.0)
    uniform = task.draw_timesteps(4000, torch.Generator().manual_seed(0)).float()
    assert uniform.mean().item() == pytest.approx(499.5, abs=2)
    assert uniform.std().item() == pytest.approx(1000 / 12**0.5, rel=0.01)
    task = denoiser_task(tokenizer, tiny_config, drawn_timesteps=0.8)
    mixed = task.draw_timesteps(10, torch.Generator().manual_seed(0))
    assert len(mixed) == 10
    assert mixed[8:].sort().values.div(500, rounding_mode="floor").tolist() == [0, 1]


def test_a_dropped_caption_is_the_empty_prompt(tokenizer: CLIPTokenizer, tiny_config: ToylandConfig) -> None:
    fed: list[Tensor] = []
    for dropout in (1.0, 0.0):
        task = denoiser_task(tokenizer, tiny_config, caption_dropout=dropout)
        task.text.register_forward_pre_hook(lambda _, arguments: fed.append(arguments[0]))
        task.step(0, 0)
    empty = task.empty_ids.long()
    assert (fed[0] == empty).all()
    assert not (fed[1] == empty).all(1).any()


def test_only_the_denoiser_is_trained_and_a_step_is_repeatable(
    tokenizer: CLIPTokenizer, tiny_config: ToylandConfig
) -> None:
    task = denoiser_task(tokenizer, tiny_config)
    first = task.step(2, 0)["loss"]
    first.backward()
    assert all(parameter.grad is None for parameter in task.text.parameters())
    trained = {id(p) for group in task.groups() for p in group.parameters.values()}
    assert trained == {id(p) for p in task.unet.parameters()}
    assert task.step(3, 0)["loss"].item() != first.item()
    assert task.step(2, 0)["loss"].item() == first.item()
