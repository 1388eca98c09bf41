"""A toyland small enough to be made in seconds: the shipped configuration with few channels, steps and pictures."""

import pytest
import torch
from diffusers import StableDiffusionPipeline

from portraitist.randomness import numpy_generator
from portraitist.toyland.first.autoencoder import build_autoencoder
from portraitist.toyland.first.config import ToylandConfig, load_config
from portraitist.toyland.first.denoiser import build_denoiser, build_scheduler
from portraitist.toyland.first.text_encoder import build_text_encoder, without_projection
from portraitist.toyland.first.world.captions import IDENTIFIERS, exam_question
from portraitist.toyland.tokenizer import train_tokenizer


@pytest.fixture(scope="session")
def config() -> ToylandConfig:
    shipped = load_config().model_dump()
    shipped["world"].update(pictures=24, validation_pictures=12, captions_per_picture=2)
    shipped["autoencoder"].update(channels=[8, 16, 16], latent_channels=4, steps=4, batch_size=4)
    shipped["text_encoder"].update(
        vocabulary=700, width=32, layers=1, heads=2, embedding=16, picture_channels=[8, 16], steps=4, batch_size=6
    )
    shipped["text_encoder"].update(warmup_steps=1)
    shipped["denoiser"].update(channels=[32, 32], attention=[False, True], head_width=16, steps=4, batch_size=4)
    shipped["denoiser"].update(warmup_steps=1)
    shipped["examiner"].update(channels=[8, 16, 16], reconstructions=6, steps=4, batch_size=8, warmup_steps=1)
    shipped["portraits"].update(identities=8, each=3, test_identities=4, test_pictures=12)
    shipped["clip_encoder"].update(width=32, layers=1, heads=2, embedding=16, picture_channels=[8, 16], steps=4)
    shipped["identity_encoder"].update(channels=[8, 16], embedding=16, steps=4, margin_steps=2)
    shipped["dino_encoder"].update(channels=[8, 16], embedding=16, expander=32, steps=4)
    for stage in ("clip_encoder", "identity_encoder", "dino_encoder"):
        shipped[stage].update(batch_size=6, warmup_steps=1)
    return ToylandConfig.model_validate(shipped)


@pytest.fixture
def pipeline(config: ToylandConfig) -> StableDiffusionPipeline:
    """An untrained pipeline of toyland's kinds of parts."""
    torch.manual_seed(0)
    captions = [exam_question(numpy_generator(0, "captions", index)).prompt for index in range(60)]
    tokenizer = train_tokenizer(captions, IDENTIFIERS, config.text_encoder.vocabulary, config.text_encoder.tokens)
    text = without_projection(build_text_encoder(config.text_encoder, tokenizer))
    return StableDiffusionPipeline(
        vae=build_autoencoder(config.autoencoder).eval(),
        text_encoder=text.eval(),
        tokenizer=tokenizer,
        unet=build_denoiser(config.denoiser, config.autoencoder, text.config.hidden_size).eval(),
        scheduler=build_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
