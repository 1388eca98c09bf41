"""Encoders with random but fixed weights: good for plumbing and arithmetic, meaningless as measures."""

import pytest
import torch

from portraitist.evaluation.encoders import PictureNetwork, save_small
from portraitist.toyland.config import load_config
from portraitist.toyland.text_encoder import build_text_encoder
from portraitist.toyland.tokenizer import train_tokenizer
from portraitist.toyland.world.captions import IDENTIFIERS


@pytest.fixture(scope="session")
def random_encoders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return folders of random encoders by role."""
    folder = tmp_path_factory.mktemp("encoders")
    small = {"vocabulary": 400, "tokens": 24, "width": 32, "layers": 1, "heads": 2, "embedding": 16}
    config = load_config().text_encoder.model_copy(update=small)
    tokenizer = train_tokenizer(["a photo of a cat on the beach"], IDENTIFIERS, config.vocabulary, config.tokens)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        save_small(folder / "plain", PictureNetwork((8, 16), 16), 32, {})
        text = build_text_encoder(config, tokenizer)
        save_small(folder / "clip", PictureNetwork((8, 16), 16), 32, {}, text, tokenizer)
    plain = str(folder / "plain")
    return {"clip": str(folder / "clip"), "dino": plain, "identity": plain, "perceptual": plain}
