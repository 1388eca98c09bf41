"""A toyland small enough to be made in seconds: the shipped configuration with few channels, steps and pictures."""

import pytest
from stand_in_world import tiny_sections

from portraitist.toyland.config import ToylandConfig, load_config


@pytest.fixture(scope="session")
def tiny_config() -> ToylandConfig:
    return load_config(changes=tiny_sections())
