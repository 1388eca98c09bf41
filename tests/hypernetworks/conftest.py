"""What the tests of hypernetworks share: a tiny base, a painted set, and a network trained on it."""

from pathlib import Path

import pytest
from painted_set import paint_set
from small_hypernetworks import small_recipe

from portraitist.bases import Base, load_base
from portraitist.hypernetworks.identities.identity_set import IdentitySet
from portraitist.hypernetworks.making import PredictorWorkshop
from portraitist.training.networks.machine import Machine


@pytest.fixture(scope="session")
def base(tiny_base_folder: Path) -> Base:
    return load_base(tiny_base_folder)


@pytest.fixture(scope="session")
def painted(base: Base, tmp_path_factory: pytest.TempPathFactory) -> IdentitySet:
    return paint_set(tmp_path_factory.mktemp("painted") / "set", base)


@pytest.fixture(scope="session")
def hypernetwork_folder(base: Base, painted: IdentitySet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a hypernetwork for the tiny base, trained for three steps."""
    folder = tmp_path_factory.mktemp("hypernetwork") / "tiny"
    PredictorWorkshop(folder, "portraitist", small_recipe(), painted, base, Machine()).train()
    return folder
