"""A toyland small enough to be made in seconds: the shipped configuration with few channels, steps and pictures."""

import pytest

from portraitist.toyland.config import ToylandConfig, load_config

TINY = {
    "pictures": {"train": 24, "validation": 12, "captions": 2},
    "autoencoder": {
        "channels": [8, 8, 16, 16],
        "latent_channels": 4,
        "norm_groups": 4,
        "crop": 32,
        "steps": 4,
        "batch_size": 4,
    },
    "decoder": {"discriminator_channels": [8, 8, 16, 16], "steps": 3, "batch_size": 2, "warmup_steps": 1},
    "text_encoder": {
        **{"vocabulary": 700, "width": 32, "layers": 1, "heads": 2, "embedding": 16, "picture_channels": [8, 16]},
        **{"tokens": 24, "steps": 4, "batch_size": 6, "warmup_steps": 1},
    },
    "denoiser": {
        **{"channels": [32, 32], "attention": [False, True], "head_width": 16},
        **{"steps": 4, "batch_size": 4, "warmup_steps": 1},
    },
}


@pytest.fixture(scope="session")
def tiny_config() -> ToylandConfig:
    return load_config(changes=TINY)
