"""What the tests of training share: the tiny base, loaded."""

from pathlib import Path

import pytest

from portraitist.bases import Base, load_base


@pytest.fixture(scope="session")
def base(tiny_base_folder: Path) -> Base:
    return load_base(tiny_base_folder)
