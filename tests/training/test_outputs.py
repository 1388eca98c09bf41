"""Where a run writes: nothing is lost, nothing is found out too late."""

import os
import sys
from pathlib import Path

import pytest

from portraitist.errors import BadConfig, BadFile, UnwritableFolder
from portraitist.training.loop.files import BEST, LAST, LOG
from portraitist.training.outputs import check_output, is_interrupted, remove_run, run_folder


def test_a_new_file_in_a_new_folder_is_fine(tmp_path: Path) -> None:
    check_output(tmp_path / "new" / "a.safetensors")


def test_a_file_that_is_there_needs_permission(tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    file.touch()
    with pytest.raises(BadFile, match="exists already"):
        check_output(file)
    with pytest.raises(BadFile, match="exists already"):
        check_output(file, resume=True)
    check_output(file, overwrite=True)


def test_an_interrupted_run_needs_a_decision(tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    run_folder(file).mkdir()
    check_output(file)
    (run_folder(file) / LAST).touch()
    assert is_interrupted(file)
    with pytest.raises(BadFile, match="--resume"):
        check_output(file)
    check_output(file, resume=True)
    check_output(file, overwrite=True)
    remove_run(file)
    assert not is_interrupted(file)
    remove_run(file)


def test_names_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match=r"ends in \.safetensors"):
        check_output(tmp_path / "a.pt")
    folder = tmp_path / "folder.safetensors"
    folder.mkdir()
    with pytest.raises(BadFile, match="is a folder"):
        check_output(folder)
    (tmp_path / "file").touch()
    with pytest.raises(UnwritableFolder, match="cannot write into"):
        check_output(tmp_path / "file" / "a.safetensors")


@pytest.mark.parametrize("kept", [[], ["samples.png"]])
def test_cleaning_up_that_is_killed_leaves_a_run_to_be_finished_or_none(tmp_path: Path, kept: list[str]) -> None:
    for number in range(8):
        file = tmp_path / str(number) / "a.safetensors"
        folder = run_folder(file)
        folder.mkdir(parents=True)
        for name in (LAST, BEST, LOG, *kept):
            (folder / name).touch()
        if os.fork() == 0:
            die_at_removal(number)
            remove_run(file)
            os._exit(0)
        os.wait()
        left = {path.name for path in folder.iterdir()} if folder.exists() else set()
        assert LAST in left or left == ({LOG, *kept} if kept else set())
        assert folder.exists() == bool(left)


def die_at_removal(number: int) -> None:
    """End this process before its n-th removal of something."""
    seen = 0

    def hear(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal seen
        seen += event in ("os.remove", "os.rmdir")
        if seen > number:
            os._exit(0)

    sys.addaudithook(hear)
