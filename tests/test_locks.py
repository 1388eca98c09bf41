"""What one process holds is refused to others in one line that says who has it; what is left behind is no lock."""

import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from portraitist.errors import InUse, UnwritableFolder
from portraitist.locks import held, lock_file


def elsewhere(work: Callable[[], object]) -> str:
    """Do something in another process; return what was said against it."""
    reading, writing = os.pipe()
    if os.fork() == 0:
        try:
            work()
        except InUse as error:
            os.write(writing, str(error).encode())
        finally:
            os._exit(0)
    os.close(writing)
    os.wait()
    with open(reading) as said:
        return said.read()


def hold(folder: Path, name: str = "", patience: float = 0.0) -> None:
    with held(folder, "a study", name, patience=patience):
        pass


def test_a_second_process_is_told_who_is_at_work(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "study"
    with held(folder, "a study", instead="choose another folder with -o"):
        said = elsewhere(lambda: hold(folder))
        assert said.startswith(f"{folder} is in use by a study (process {os.getpid()}, since 20")
        assert said.endswith("); wait until that has ended, or choose another folder")
        assert not elsewhere(lambda: hold(folder, "report"))
    assert not elsewhere(lambda: hold(folder))
    assert not list(tmp_path.iterdir()), "what was made for the lock goes with it"


def test_things_in_a_folder_are_held_by_name(tmp_path: Path) -> None:
    long = "x" * 255
    for name in ("denoiser", long, "a\nb", "ü"):
        with held(tmp_path, "the stage", name):
            assert f"{tmp_path / name} is in use" in elsewhere(lambda: hold(tmp_path, name))  # noqa: B023
            assert not elsewhere(lambda: hold(tmp_path, "decoder"))
    assert not list(tmp_path.iterdir())


def test_the_lock_of_a_killed_process_is_none(tmp_path: Path) -> None:
    def die() -> None:
        with held(tmp_path, "a study"):
            os._exit(0)

    elsewhere(die)
    assert json.loads(lock_file(tmp_path).read_text())["machine"] == platform.node()
    hold(tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_lock_of_a_folder_that_was_taken_away_takes_no_other_lock_with_it(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    first, second = held(folder, "the first"), held(folder, "the second")
    with first:
        folder.rename(tmp_path / "gone")
        second.__enter__()
    assert "the second" in elsewhere(lambda: hold(folder))
    second.__exit__(None, None, None)
    assert not folder.exists()


@pytest.mark.parametrize("content", [b"", b"\xff", b"{", b"[]", b'{"work": 1}', b"[" * 4000, b"x" * 5000])
def test_a_lock_that_does_not_tell_its_holder_holds_all_the_same(tmp_path: Path, content: bytes) -> None:
    with held(tmp_path, "a study"):
        lock_file(tmp_path).write_bytes(content)
        assert elsewhere(lambda: hold(tmp_path)).startswith(f"{tmp_path} is in use by another process; wait")


def test_what_is_no_file_in_the_place_of_a_lock(tmp_path: Path) -> None:
    (tmp_path / "link").mkdir()
    lock_file(tmp_path / "link").symlink_to("/dev/zero")
    (tmp_path / "file").touch()
    for place in ("link", "file"):
        with pytest.raises(UnwritableFolder, match=r"cannot write .*; choose another folder$"):
            hold(tmp_path / place)
    os.mkfifo(lock_file(tmp_path))
    hold(tmp_path)


def test_a_short_work_is_waited_for(tmp_path: Path) -> None:
    gate, opener = os.pipe()
    if os.fork() == 0:
        with held(tmp_path, "a report"):
            os.write(opener, b"x")
            time.sleep(0.3)
        os._exit(0)
    os.read(gate, 1)
    hold(tmp_path, patience=30.0)
    os.wait()
