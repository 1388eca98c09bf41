"""What many tests share: a tiny base model in toyland's layout, and a cache of their own."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # before the library that reads it is imported

import pytest
import torch
from diffusers import StableDiffusionPipeline
from torch import nn
from transformers import CLIPTokenizer

from portraitist.adapters import Adapter, find_layers
from portraitist.progress import quiet_libraries
from portraitist.toyland.autoencoder import build_autoencoder
from portraitist.toyland.config import ToylandConfig, load_config
from portraitist.toyland.denoiser import build_denoiser, build_scheduler
from portraitist.toyland.text_encoder import build_text_encoder, without_projection
from portraitist.toyland.tokenizer import train_tokenizer
from portraitist.toyland.world.captions import IDENTIFIERS, SCENE_PHRASES, STYLE_PHRASES
from portraitist.toyland.world.identities import KINDS, ROBOT_COLOURS

RESOLUTION = 32


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep what is cached during the tests out of the user's cache."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PORTRAITIST_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def tiny_base_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with an untrained Stable Diffusion pipeline for pictures of 32 x 32, the same in every run.

    It knows toyland's words; `sks` and the other identifiers are single tokens.
    """
    quiet_libraries()
    return save_tiny_base(tmp_path_factory.mktemp("tiny") / "base", seed=0)


@pytest.fixture(scope="session")
def other_base_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a base like the tiny one with other weights."""
    quiet_libraries()
    return save_tiny_base(tmp_path_factory.mktemp("other") / "base", seed=1)


@pytest.fixture(scope="session")
def draw_adapter() -> Callable[..., Adapter]:
    """Return a function that makes an adapter on some components, its every parameter random."""

    def draw(
        components: dict[str, nn.Module], method: str, patterns: Sequence[str], size: float = 0.1, **config: object
    ) -> Adapter:
        generator = torch.Generator().manual_seed(3)
        adapter = Adapter.create(method, config, find_layers(components, patterns), generator)
        for tensors in adapter.values.values():
            for key, value in tensors.items():
                drawn = size * torch.randn(value.shape, generator=generator)
                tensors[key] = nn.Parameter(drawn, requires_grad=False)
        return adapter

    return draw


def save_tiny_base(folder: Path, seed: int) -> Path:
    config = tiny_config()
    tokenizer, side = tiny_tokenizer(config), RESOLUTION >> len(config.autoencoder.channels) - 1
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        text = build_text_encoder(config.text_encoder, tokenizer)
        pipeline = StableDiffusionPipeline(
            vae=build_autoencoder(config.autoencoder, RESOLUTION),
            text_encoder=without_projection(text),
            tokenizer=tokenizer,
            unet=build_denoiser(config.denoiser, side, config.autoencoder.latent_channels, config.text_encoder.width),
            scheduler=build_scheduler(),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    pipeline.save_pretrained(folder)
    return folder


def tiny_config() -> ToylandConfig:
    """Return toyland's settings with everything made small."""
    shipped = load_config()
    small = {
        "autoencoder": {"channels": (8, 8, 8), "latent_channels": 4, "norm_groups": 4},
        "text_encoder": {"vocabulary": 800, "tokens": 24, "width": 32, "layers": 1, "heads": 2, "embedding": 16},
        "denoiser": {"channels": (32, 64), "attention": (False, True), "head_width": 32},
    }
    sections = {name: getattr(shipped, name).model_copy(update=values) for name, values in small.items()}
    return shipped.model_copy(update=sections)


@pytest.fixture(scope="session")
def clip_tokenizer() -> CLIPTokenizer:
    """Return a small tokenizer of CLIP's kind that knows toyland's words."""
    quiet_libraries()
    return tiny_tokenizer(tiny_config())


def tiny_tokenizer(config: ToylandConfig) -> CLIPTokenizer:
    words = [*KINDS, *ROBOT_COLOURS, *(phrase for group in SCENE_PHRASES.values() for phrase in group)]
    words += [phrase.format("a cat") for group in STYLE_PHRASES.values() for phrase in group]
    return train_tokenizer(words, IDENTIFIERS, config.text_encoder.vocabulary, config.text_encoder.tokens)
