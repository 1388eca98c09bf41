"""The listed layers of architectures are those of the models built from their configurations."""

import pytest

from portraitist.bases.architectures import list_architectures
from portraitist.training.planning.architectures import FOLDER, read_architecture
from portraitist.training.planning.listing import list_layers


def test_every_architecture_is_listed() -> None:
    assert sorted(file.name.removesuffix(".json.gz") for file in FOLDER.iterdir()) == list_architectures()


@pytest.mark.parametrize("name", ["sd15", "sd21", "sd21-768", "sdxl", "flux"])
def test_the_listed_layers_are_those_of_the_model(name: str) -> None:
    """Where they differ, ``make listing`` writes the files anew."""
    assert read_architecture(name) == list_layers(name)


@pytest.mark.parametrize("name", ["sdxl-v", "sdxl-v-ztsnr"])
def test_models_that_differ_in_their_schedule_have_the_same_layers(name: str) -> None:
    assert read_architecture(name) == read_architecture("sdxl")
