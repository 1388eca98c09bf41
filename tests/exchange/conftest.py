"""The tiny base, and adapters drawn on it and written for it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from comparing import TinyPipeline

from portraitist.adapters import Adapter, save_adapter
from portraitist.bases import Base, load_base

Draw = Callable[..., Adapter]


@pytest.fixture(scope="session")
def tiny(tiny_base_folder: Path, draw_adapter: Draw) -> TinyPipeline:
    return TinyPipeline(tiny_base_folder, draw_adapter)


@pytest.fixture(scope="module")
def base(tiny_base_folder: Path) -> Base:
    return load_base(tiny_base_folder)


@pytest.fixture
def write(base: Base, draw_adapter: Draw, tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes an adapter which names the tiny base with a fingerprint."""

    def write(name: str, fingerprint: str | None) -> Path:
        adapter = draw_adapter(base.components, "lora", ("unet.mid_block*to_q",), rank=2)
        adapter.provenance.facts["base"] = {"name": base.name, "fingerprint": fingerprint}
        save_adapter(adapter, tmp_path / name)
        return tmp_path / name

    return write
