"""Settings of a set: kept once, and compared ever after."""

from pathlib import Path

import pytest

from portraitist.errors import BadConfig, BadFile
from portraitist.hypernetworks.identities.settings import FILE, SetSettings, keep_settings, read_settings


def test_settings_are_kept(tmp_path: Path, settings: SetSettings) -> None:
    keep_settings(tmp_path / "set", settings)
    keep_settings(tmp_path / "set", settings)
    assert read_settings(tmp_path / "set") == settings


def test_other_settings_are_refused_in_one_line(tmp_path: Path, settings: SetSettings) -> None:
    keep_settings(tmp_path / "set", settings)
    with pytest.raises(BadConfig, match=r"made with seed 7, not 8; choose another folder with -o") as refused:
        keep_settings(tmp_path / "set", settings.model_copy(update={"seed": 8}))
    assert "\n" not in str(refused.value)
    assert read_settings(tmp_path / "set") == settings


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path, settings: SetSettings) -> None:
    (tmp_path / "cat.png").write_bytes(b"")
    with pytest.raises(BadConfig, match="is not a set of identities"):
        keep_settings(tmp_path, settings)
    assert [path.name for path in tmp_path.iterdir()] == ["cat.png"]


def test_no_set_and_damaged_settings_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="holds no set of identities; make one with"):
        read_settings(tmp_path)
    (tmp_path / FILE).write_text('{"format": "portraitist-identities-9"}')
    with pytest.raises(BadFile, match="damaged, or from a newer version"):
        read_settings(tmp_path)


def test_identities_fill_shards_and_banks(settings: SetSettings) -> None:
    assert settings.shards == 3
    assert [list(settings.members(shard)) for shard in range(3)] == [[0, 1], [2, 3], [4]]
    assert settings.banks == 3
    assert list(settings.bank_members(2)) == [4]
    assert settings.model_copy(update={"target": None}).banks == 0
