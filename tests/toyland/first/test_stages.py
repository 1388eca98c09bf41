"""The stages: each task learns, its formulas hold, and the workshop joins them into a pipeline."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor
from transformers import CLIPTokenizer

from portraitist.bases import load_base
from portraitist.errors import BadConfig
from portraitist.evaluation.encoders import EmbedsTexts, PictureNetwork, embed_images, load_encoder
from portraitist.randomness import numpy_generator
from portraitist.toyland.first.autoencoder import (
    AutoencoderTask,
    build_autoencoder,
    encode_pictures,
    reconstruction_error,
    to_tensor,
)
from portraitist.toyland.first.config import ToylandConfig, load_config
from portraitist.toyland.first.denoiser import DenoiserTask, build_denoiser, build_scheduler
from portraitist.toyland.first.examiner import Examiner
from portraitist.toyland.first.making import ENCODER_STAGES, STAGES, Workshop
from portraitist.toyland.first.text_encoder import (
    ContrastiveTask,
    build_text_encoder,
    embed_captions,
    retrieval_accuracy,
    without_projection,
)
from portraitist.toyland.first.world.captions import IDENTIFIERS, caption, exam_question
from portraitist.toyland.first.world.dataset import load_dataset
from portraitist.toyland.first.world.pictures import render, sample_picture
from portraitist.toyland.tokenizer import single_token, train_tokenizer
from portraitist.training.loop.loop import Loop, LoopConfig

CAPTIONS = [exam_question(numpy_generator(1, "captions", index)).prompt for index in range(80)]


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    """Eight pictures, uint8 ``[8, 64, 64, 3]``."""
    return np.stack([np.asarray(render(sample_picture(numpy_generator(8, "pictures", i)))) for i in range(8)])


@pytest.fixture(scope="module")
def tokenizer(config: ToylandConfig) -> CLIPTokenizer:
    return train_tokenizer(CAPTIONS, IDENTIFIERS, config.text_encoder.vocabulary, config.text_encoder.tokens)


def tokenize(tokenizer: CLIPTokenizer, captions: list[str]) -> Tensor:
    return torch.tensor(tokenizer(captions, padding="max_length", truncation=True).input_ids)


# The tokenizer


def test_every_identifier_is_one_token_of_its_own(tokenizer: CLIPTokenizer) -> None:
    ids = [tokenizer(word, add_special_tokens=False).input_ids for word in IDENTIFIERS]
    assert all(len(token) == 1 for token in ids)
    assert len({token[0] for token in ids}) == len(IDENTIFIERS) >= 32
    assert all(single_token(tokenizer, word) for word in IDENTIFIERS)
    assert not single_token(tokenizer, "incomprehensibilities")


def test_captions_come_back_from_their_tokens(tokenizer: CLIPTokenizer, config: ToylandConfig) -> None:
    for index in range(40):
        rng = numpy_generator(2, "captions", index)
        text = caption(sample_picture(rng), rng)
        ids = tokenizer(text).input_ids
        assert ids[0] == tokenizer.bos_token_id
        assert ids[-1] == tokenizer.eos_token_id
        assert tokenizer.decode(ids, skip_special_tokens=True).replace(" ", "") == text.lower().replace(" ", "")
    assert tokenize(tokenizer, ["a cat", CAPTIONS[0]]).shape == (2, config.text_encoder.tokens)


# The autoencoder


def test_the_autoencoder_learns_to_reconstruct(images: np.ndarray, config: ToylandConfig) -> None:
    settings = config.autoencoder.model_copy(update={"steps": 60, "batch_size": 8, "learning_rate": 4e-3})
    torch.manual_seed(0)
    model = build_autoencoder(settings)
    before = reconstruction_error(model.eval(), images)
    Loop(AutoencoderTask(model, images, settings), LoopConfig(steps=60, schedule="cosine")).run()
    after = reconstruction_error(model.eval(), images)
    assert after < 0.5 * before
    means, deviations = encode_pictures(model, images, batch_size=3)
    assert means.shape == deviations.shape == (8, settings.latent_channels, 16, 16)
    posterior = model.encode(to_tensor(images)).latent_dist
    torch.testing.assert_close(means.float(), posterior.mean, atol=2e-2, rtol=2e-3)
    assert (deviations > 0).all()


def test_crops_give_way_to_whole_pictures_of_as_many_pixels(images: np.ndarray, config: ToylandConfig) -> None:
    settings = config.autoencoder.model_copy(update={"steps": 10, "whole_from": 0.8, "batch_size": 8, "crop": 32})
    task = AutoencoderTask(build_autoencoder(settings), images, settings)
    sizes = []
    encode = task.model.encode

    def remember(pixels: Tensor) -> object:
        sizes.append(tuple(pixels.shape))
        return encode(pixels)

    task.model.encode = remember
    for step in (0, 7, 8, 9):
        task.step(step, 0)
    assert sizes == [(8, 3, 32, 32)] * 2 + [(2, 3, 64, 64)] * 2


# The text encoder


def test_captions_find_their_pictures(images: np.ndarray, tokenizer: CLIPTokenizer, config: ToylandConfig) -> None:
    settings = config.text_encoder.model_copy(update={"batch_size": 8, "learning_rate": 3e-3})
    torch.manual_seed(0)
    text, pictures = build_text_encoder(settings, tokenizer), PictureNetwork((16, 32), settings.embedding)
    ids = tokenize(tokenizer, CAPTIONS[:8])[:, None]
    Loop(ContrastiveTask(text, pictures, images, ids, settings), LoopConfig(steps=80)).run()
    assert retrieval_accuracy(text.eval(), pictures.eval(), images, ids, among=8) == 1.0
    assert retrieval_accuracy(text, pictures, images, ids.flip(0), among=8) < 0.5


def test_embedding_in_groups_of_similar_length_changes_nothing(tokenizer: CLIPTokenizer, config: ToylandConfig) -> None:
    torch.manual_seed(0)
    text = build_text_encoder(config.text_encoder, tokenizer).eval()
    ids = tokenize(tokenizer, ["", *CAPTIONS[:8], "a cat"])
    torch.testing.assert_close(embed_captions(text, ids, groups=3), text(ids).text_embeds, atol=1e-5, rtol=1e-4)


def test_the_plain_encoder_has_the_same_states(tokenizer: CLIPTokenizer, config: ToylandConfig) -> None:
    text = build_text_encoder(config.text_encoder, tokenizer).eval()
    ids = tokenize(tokenizer, CAPTIONS[:3])
    states = without_projection(text).eval()(ids).last_hidden_state
    torch.testing.assert_close(states, text(ids).last_hidden_state)


# The denoiser


def denoiser_task(tokenizer: CLIPTokenizer, config: ToylandConfig, **changes: object) -> DenoiserTask:
    settings = config.denoiser.model_copy(update=changes)
    torch.manual_seed(0)
    text = without_projection(build_text_encoder(config.text_encoder, tokenizer))
    unet = build_denoiser(settings, config.autoencoder, config.text_encoder.width)
    latents = torch.randn(8, config.autoencoder.latent_channels, 16, 16)
    posterior = (latents.half(), torch.full_like(latents, 0.01).half())
    ids = tokenize(tokenizer, CAPTIONS[:16]).view(8, 2, -1).to(torch.int16)
    return DenoiserTask(unet, text, posterior, ids, tokenize(tokenizer, [""])[0].to(torch.int16), settings)


def test_the_denoiser_learns(tokenizer: CLIPTokenizer, config: ToylandConfig) -> None:
    task = denoiser_task(tokenizer, config, batch_size=8, learning_rate=2e-3)
    before = [task.step(step, 0)["mse"].item() for step in range(1000, 1004)]
    Loop(task, LoopConfig(steps=40)).run()
    after = [task.step(step, 0)["mse"].item() for step in range(1000, 1004)]
    assert np.mean(after) < 0.8 * np.mean(before)


def test_the_frozen_text_encoder_gets_no_gradient(tokenizer: CLIPTokenizer, config: ToylandConfig) -> None:
    task = denoiser_task(tokenizer, config)
    task.step(0, 0)["loss"].backward()
    assert all(parameter.grad is None for parameter in task.text.parameters())
    assert any(parameter.grad is not None for parameter in task.unet.parameters())
    trained = {id(p) for group in task.groups() for p in group.parameters.values()}
    assert trained == {id(p) for p in task.unet.parameters()}


def test_the_loss_is_weighted_by_min_snr(tokenizer: CLIPTokenizer, config: ToylandConfig) -> None:
    task = denoiser_task(tokenizer, config, batch_size=8)
    alphas = build_scheduler().alphas_cumprod
    torch.testing.assert_close(task.snr, alphas / (1 - alphas), rtol=1e-4, atol=1e-6)
    unweighted = denoiser_task(tokenizer, config, batch_size=8, min_snr_gamma=1e9).step(0, 0)
    torch.testing.assert_close(unweighted["loss"], unweighted["mse"])
    weighted = task.step(0, 0)
    torch.testing.assert_close(weighted["mse"], unweighted["mse"])
    # High signal-to-noise ratios lose weight, none gains.
    assert weighted["loss"] < weighted["mse"]


def test_a_dropped_caption_is_the_empty_prompt(tokenizer: CLIPTokenizer, config: ToylandConfig) -> None:
    fed: list[Tensor] = []
    for dropout in (1.0, 0.0):
        task = denoiser_task(tokenizer, config, caption_dropout=dropout)
        task.text.register_forward_pre_hook(lambda _, arguments: fed.append(arguments[0]))
        task.step(0, 0)
    empty = task.empty_ids.long()
    assert (fed[0] == empty).all()
    assert not (fed[1] == empty).all(1).any()


def test_a_denoising_step_is_repeatable(tokenizer: CLIPTokenizer, config: ToylandConfig) -> None:
    task = denoiser_task(tokenizer, config)
    first = task.step(2, 0)["loss"].item()
    assert task.step(3, 0)["loss"].item() != first
    assert task.step(2, 0)["loss"].item() == first


# The workshop


@pytest.fixture(scope="module")
def workshop(config: ToylandConfig, tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """A toyland made from nothing."""
    made = Workshop(tmp_path_factory.mktemp("workshop"), config, grid_every=2, questions=4)
    made.make()
    return made


def test_the_workshop_leaves_a_pipeline_that_draws(workshop: Workshop) -> None:
    base = load_base(workshop.folder / "pipeline")
    picture = base.pipeline("a cat", num_inference_steps=2, generator=torch.Generator().manual_seed(0)).images[0]
    assert picture.size == (64, 64)
    weights = load_file(workshop.folder / "pipeline" / "unet" / "diffusion_pytorch_model.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.float16}


def test_the_pipeline_does_not_say_where_it_was_made(workshop: Workshop) -> None:
    configs = list((workshop.folder / "pipeline").rglob("*.json"))
    assert configs
    assert not [path for path in configs if str(workshop.folder) in path.read_text()]


def test_every_stage_reports(workshop: Workshop) -> None:
    report = json.loads((workshop.folder / "report.json").read_text())
    assert set(report) == set(STAGES) - {"pictures", "exam", "portraits"}
    assert report["autoencoder"]["validation_mse"] > 0
    assert 0 <= report["examiner"]["validation_scene"] <= 1
    assert 0 <= report["clip-encoder"]["test_caption_top1_among_100"] <= 1
    for stage in ("identity-encoder", "dino-encoder"):
        assert 0 <= report[stage]["test_identity_top1_among_4"] <= 1
    exam = json.loads((workshop.folder / "exam" / "report.json").read_text())
    assert exam["settings"]["questions"] == 4
    assert exam["settings"]["base"] == load_base(workshop.folder / "pipeline").fingerprint
    assert set(exam["examiner"]) == {"renders", "reconstructions"}
    assert (workshop.folder / "exam" / "report.md").read_text().startswith("| question |")
    assert (workshop.folder / "exam" / "grid.webp").exists()


def test_grids_are_drawn_on_the_way(workshop: Workshop) -> None:
    names = sorted(path.name for path in (workshop.folder / "denoiser" / "grids").iterdir())
    assert names == ["step-0000002.png", "step-0000004.png"]


def test_latents_are_scaled_to_unit_variance(workshop: Workshop) -> None:
    stored = load_file(workshop.folder / "latents.safetensors")
    assert len(stored["mean"]) == workshop.config.world.pictures
    assert stored["mean"].float().std().item() == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("name", ["toyland-clip", "toyland-identity", "toyland-dino"])
def test_the_encoders_can_be_loaded(workshop: Workshop, name: str) -> None:
    encoder = load_encoder(str(workshop.folder / "encoders" / name))
    images = [Image.fromarray(image) for image in load_dataset(workshop.folder / "test").images[:3]]
    embedded = embed_images(encoder, images)
    assert embedded.shape == (3, 16)
    assert isinstance(encoder, EmbedsTexts) == (name == "toyland-clip")
    if isinstance(encoder, EmbedsTexts):
        assert encoder.embed_texts(["a cat", "a robot in space"]).shape == (2, 16)


def test_the_examiner_can_be_loaded(workshop: Workshop) -> None:
    images = load_dataset(workshop.folder / "validation").images
    assert len(Examiner.load(workshop.folder / "examiner").read(images)) == len(images)


def test_finished_stages_are_left_alone(workshop: Workshop) -> None:
    finished = ["vae", "text_encoder", "tokenizer", "examiner", "encoders"]
    before = {path: path.stat().st_mtime_ns for name in finished for path in (workshop.folder / name).rglob("*")}
    workshop.make(("pictures", "autoencoder", "text-encoder", "examiner", *ENCODER_STAGES))
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_grids_do_not_change_what_is_learnt(workshop: Workshop, tmp_path: Path) -> None:
    for name in ("train", "validation", "vae", "text_encoder", "tokenizer", "latents.safetensors"):
        (tmp_path / name).symlink_to(workshop.folder / name)
    Workshop(tmp_path, workshop.config, grid_every=0).train_denoiser()
    assert not (tmp_path / "denoiser" / "grids").exists()
    name = "pipeline/unet/diffusion_pytorch_model.safetensors"
    with_grids, without = load_file(workshop.folder / name), load_file(tmp_path / name)
    assert all(torch.equal(with_grids[key], without[key]) for key in with_grids | without)


# The configuration


def test_a_misspelt_setting_is_named(tmp_path: Path) -> None:
    text = json.dumps(load_config().model_dump(mode="json")).replace('"reconstructions"', '"reconstruction"')
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(BadConfig, match=r"mine.yaml: examiner.reconstruction"):
        load_config(tmp_path / "mine.yaml")
    with pytest.raises(BadConfig, match="nowhere"):
        load_config(tmp_path / "nowhere.yaml")
