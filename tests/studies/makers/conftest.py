"""A set of identities for the tiny base, and networks trained on it for a few steps."""

from pathlib import Path

import pytest
from painted_set import paint_set
from small_difflora import lora_space, small_difflora
from small_hypernetworks import small_recipe

from portraitist.bases import Base
from portraitist.hypernetworks.difflora.making import WeightWorkshop
from portraitist.hypernetworks.identities.identity_set import IdentitySet
from portraitist.hypernetworks.making import PredictorWorkshop
from portraitist.training.networks.machine import Machine


@pytest.fixture(scope="session")
def painted_folder(tiny_base: Base, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return paint_set(tmp_path_factory.mktemp("painted") / "set", tiny_base).folder


@pytest.fixture(scope="session", params=["portraitist", "paper", "token"])
def network(
    request: pytest.FixtureRequest, tiny_base: Base, painted_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Return the folder of a network that predicts coefficients, LiDB, or a token's embedding too."""
    folder = tmp_path_factory.mktemp("networks") / request.param
    changes = {"paper": {"losses": {"weights": 0}}, "token": {"output": {"token": True}}}.get(request.param, {})
    recipe = small_recipe("paper" if request.param == "paper" else "portraitist", **changes)
    PredictorWorkshop(folder, request.param, recipe, IdentitySet.open(painted_folder), tiny_base, Machine()).train()
    return folder


@pytest.fixture(scope="session")
def lora_folder(tiny_base: Base, tmp_path_factory: pytest.TempPathFactory) -> Path:
    space, folder = lora_space(tiny_base), tmp_path_factory.mktemp("painted") / "loras"
    return paint_set(folder, tiny_base, targets=space, frozen_a=True).folder


@pytest.fixture(scope="session")
def drawing_network(tiny_base: Base, lora_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a network that draws LoRAs, made to listen to noise and photos."""
    folder = tmp_path_factory.mktemp("networks") / "difflora"
    recipe = small_difflora(generator_training={"steps": 20, "learning_rate": 0.1, "average_decay": 0.5})
    WeightWorkshop(folder, "portraitist", recipe, IdentitySet.open(lora_folder), tiny_base, Machine()).train()
    return folder
