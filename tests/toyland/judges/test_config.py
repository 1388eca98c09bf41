"""Settings: the shipped ones are whole, and whatever is wrong is named."""

from pathlib import Path

import pytest

from portraitist.errors import BadConfig
from portraitist.toyland.judges.config import load_judges_config


def test_the_shipped_settings_are_read() -> None:
    config = load_judges_config()
    assert config.examiner.side in (64, 128)
    assert config.tests.identities == 200


def test_whatever_is_wrong_is_named(settings: Path, tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="cannot read the configuration of the judges missing"):
        load_judges_config(Path("missing.yaml"))
    path = tmp_path / "bad.yaml"
    path.write_text(settings.read_text().replace("covered:", "coverd:"))
    with pytest.raises(BadConfig, match=r"bad.yaml: dino\.cover"):
        load_judges_config(path)
