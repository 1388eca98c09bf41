"""What the judges' tests share: a painter, settings of judges small enough for seconds, and a tiny base."""

from pathlib import Path

import pytest
import yaml
from drawn_world import shared_painter

from portraitist.bases import Base, load_base
from portraitist.toyland.judges.config import JudgesConfig, load_judges_config
from portraitist.toyland.world.painting import Painter

SMALL = {
    "examiner": {"channels": [8, 16, 16], "side": 32, "steps": 3, "batch_size": 8, "reconstructions": 4},
    "clip": {"channels": [8, 16], "side": 32, "width": 32, "layers": 1, "heads": 2, "embedding": 16, "steps": 3,
             "batch_size": 6, "tokens": 77},
    "identity": {"channels": [8, 16], "side": 32, "embedding": 16, "steps": 3, "batch_size": 6, "margin_steps": 2},
    "dino": {"channels": [8, 16], "side": 32, "embedding": 16, "projection": 16, "steps": 3, "batch_size": 6},
    "second_identity": {"channels": [8, 16], "side": 32, "embedding": 16, "steps": 3, "batch_size": 6,
                        "margin_steps": 2},
    "tests": {"identities": 4, "pictures": 6, "among": 3},
}  # fmt: skip


@pytest.fixture(scope="session")
def painter() -> Painter:
    return shared_painter()


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of the shipped settings, made small."""
    values = load_judges_config().model_dump(mode="json")
    for section, changes in SMALL.items():
        values[section] |= changes
    path = tmp_path_factory.mktemp("judges") / "small.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


@pytest.fixture(scope="session")
def config(settings: Path) -> JudgesConfig:
    return load_judges_config(settings)


@pytest.fixture(scope="session")
def base(tiny_base_folder: Path) -> Base:
    return load_base(tiny_base_folder)
