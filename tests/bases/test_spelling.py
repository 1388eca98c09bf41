"""Architectures by the names that people have for them."""

from pathlib import Path

import pytest

from portraitist.bases.architectures import list_architectures
from portraitist.bases.spelling import architecture_name


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("SDXL", "sdxl"),
        ("Stable Diffusion XL", "sdxl"),
        ("sd1.5", "sd15"),
        ("SD-1.5", "sd15"),
        ("FLUX.1-dev", "flux"),
        ("sd21-768", "sd21-768"),
        ("toyland", "toyland"),
        ("owner/model", "owner/model"),
    ],
)
def test_spellings(spelling: str, name: str) -> None:
    assert architecture_name(spelling) == name


def test_every_architecture_is_spelt_as_it_is() -> None:
    assert [architecture_name(name) for name in list_architectures()] == list_architectures()


def test_a_folder_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("SDXL").mkdir()
    assert architecture_name("SDXL") == "SDXL"
