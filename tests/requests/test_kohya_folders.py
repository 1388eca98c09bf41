"""Photo folders as sd-scripts wants them."""

from pathlib import Path

import pytest

from portraitist.requests.kohya_folders import kohya_subjects


def found(folder: Path) -> list[tuple[str, str, list[str]]]:
    return [(one.token, one.class_noun, [path.name for path in one.photos]) for one in kohya_subjects(folder)]


def test_a_folder_names_its_subject(tmp_path: Path) -> None:
    (tmp_path / "10_sks cat").mkdir()
    assert found(tmp_path / "10_sks cat") == [("sks", "cat", ["10_sks cat"])]
    assert found(tmp_path) == [("sks", "cat", ["10_sks cat"])]


def test_folders_of_one_subject_go_together_and_others_apart(tmp_path: Path) -> None:
    for name in ("10_sks cat", "5_sks cat", "20_olo old teapot", "others"):
        (tmp_path / name).mkdir()
    cat, teapot = ("sks", "cat", ["10_sks cat", "5_sks cat"]), ("olo", "old teapot", ["20_olo old teapot"])
    assert found(tmp_path) == [cat, teapot]


@pytest.mark.parametrize("name", ["cats", "10_cat", "sks cat", "2024_06 holiday"])
def test_other_names_mean_nothing(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    assert found(tmp_path) == []
