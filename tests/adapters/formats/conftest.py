from collections.abc import Callable
from pathlib import Path

import pytest
from comparing import TinyPipeline

from portraitist.adapters import Adapter


@pytest.fixture(scope="session")
def tiny(tiny_base_folder: Path, draw_adapter: Callable[..., Adapter]) -> TinyPipeline:
    return TinyPipeline(tiny_base_folder, draw_adapter)
