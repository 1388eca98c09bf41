"""What the tests of DiffLoRA share: a painted set with LoRAs, and a folder trained on it."""

from pathlib import Path

import pytest
from painted_set import paint_set
from small_difflora import lora_space, small_difflora

from portraitist.bases import Base
from portraitist.hypernetworks.difflora.making import WeightWorkshop
from portraitist.hypernetworks.identities.identity_set import IdentitySet
from portraitist.training.networks.machine import Machine


@pytest.fixture(scope="session")
def loras(base: Base, tmp_path_factory: pytest.TempPathFactory) -> IdentitySet:
    return paint_set(tmp_path_factory.mktemp("loras") / "set", base, 6, targets=lora_space(base), frozen_a=True)


@pytest.fixture(scope="session")
def difflora_folder(base: Base, loras: IdentitySet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a network for the tiny base, trained for three steps."""
    folder = tmp_path_factory.mktemp("difflora") / "tiny"
    WeightWorkshop(folder, "portraitist", small_difflora(), loras, base, Machine()).train()
    return folder
