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
    with pytest.raises(BadConfig, match=r"bad.yaml: .* 'dino\.coverd'; did you mean dino\.covered"):
        load_judges_config(path)
    path.write_text("[examiner, clip]")
    with pytest.raises(BadConfig, match=r"bad.yaml must hold sections such as `examiner:`"):
        load_judges_config(path, {"clip": {"steps": 3}})
    with pytest.raises(
        BadConfig, match=r"judges.yaml: there is no setting 'clip\.batches'; did you mean clip\.batch_size\?"
    ):
        load_judges_config(changes={"clip": {"batches": 3}})
    with pytest.raises(BadConfig, match=r"judges.yaml: clip is a group of settings"):
        load_judges_config(changes={"clip": 3})


def test_single_settings_can_differ_from_a_file() -> None:
    config = load_judges_config(changes={"dino": {"steps": 3}, "second_identity": {"seed": 4}})
    assert (config.dino.steps, config.second_identity.seed) == (3, 4)
    assert config.clip == load_judges_config().clip
    assert config.shares().keys() == {"examiner", "clip", "identity", "dino", "second-identity"}
