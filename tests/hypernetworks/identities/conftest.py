"""What the tests of sets share: one made by hand."""

from pathlib import Path

import pytest
from hand_made_set import hand_made_settings, write_hand_made

from portraitist.hypernetworks.identities.settings import SetSettings


@pytest.fixture
def settings() -> SetSettings:
    return hand_made_settings()


@pytest.fixture
def small_set(tmp_path: Path) -> Path:
    return write_hand_made(tmp_path / "set")
