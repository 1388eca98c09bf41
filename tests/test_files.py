"""A file is there whole or not at all, and a run that cannot be saved does not start."""

import hashlib
import os
import resource
import shutil
import signal
import sys
from errno import ENOSPC
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
from safetensors import SafetensorError
from safetensors.numpy import save_file

from portraitist.errors import UnwritableFolder
from portraitist.files import (
    file_name,
    remove_leftovers,
    require_name,
    require_writable,
    sha256,
    write_aside,
    write_folder_aside,
    write_unused,
)


def test_the_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "new" / "picture.png"
    with write_aside(target) as temporary:
        temporary.write_bytes(b"half")
        assert not target.exists()
        assert temporary.stat().st_dev == target.parent.stat().st_dev
        assert temporary.suffix == ".png"
    assert target.read_bytes() == b"half"
    assert list(target.parent.iterdir()) == [target]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "adapter.safetensors"
    target.write_bytes(b"old")

    def fail() -> None:
        with write_aside(target) as temporary:
            temporary.write_bytes(b"half of the new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_file_has_the_usual_permissions(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    with write_aside(tmp_path / "aside") as temporary:
        temporary.write_text("")
    assert (tmp_path / "aside").stat().st_mode == (tmp_path / "plain").stat().st_mode
    mask = os.umask(0o022)
    os.umask(mask)
    assert (tmp_path / "aside").stat().st_mode & mask == 0


def test_a_file_in_the_way_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file, not a folder")
    target = tmp_path / "taken" / "out.png"
    with pytest.raises(UnwritableFolder, match=r"cannot write .*out\.png: .*; choose another place with -o"):
        write_aside(target).__enter__()
    with pytest.raises(UnwritableFolder, match=r"cannot write into .*taken: .*; choose another place with -o"):
        require_writable(target.parent)


def test_a_folder_with_room_passes_and_is_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    for folder in (tmp_path, tmp_path / "there", tmp_path / "not" / "there"):
        require_writable(folder, size=1)
    assert [path.name for path in tmp_path.rglob("*")] == ["there"]


def test_a_folder_below_one_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "nowhere").symlink_to(tmp_path / "missing")
    for name in ("nowhere", "nowhere/deeper", "a" * 300):
        with pytest.raises(UnwritableFolder, match="cannot write into"):
            require_writable(tmp_path / name)


def test_a_full_disk_is_noticed_beforehand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=3_000_000))
    require_writable(tmp_path, size=3_000_000)
    with pytest.raises(UnwritableFolder, match="has 3 MB of free disk space, but 50 MB are needed"):
        require_writable(tmp_path, size=50_000_000)


def test_sha256_is_that_of_the_content(tmp_path: Path) -> None:
    content = bytes(range(256)) * 10_000
    (tmp_path / "large").write_bytes(content)
    assert sha256(tmp_path / "large") == hashlib.sha256(content).hexdigest()


def test_a_cache_that_cannot_be_written_names_its_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("PORTRAITIST_CACHE", str(tmp_path / "file" / "cache"))
    for place, advice in (("file/cache/latents/a", r"set \$PORTRAITIST_CACHE to"), ("file/b", "another place with -o")):
        with pytest.raises(UnwritableFolder, match=advice), write_aside(tmp_path / place):
            pass


def full(*_: object) -> None:
    raise OSError(ENOSPC, "No space left on device")


def test_a_disk_that_fills_up_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = r"cannot write .*a\.png: No space left on device; make room, or choose"
    with pytest.raises(UnwritableFolder, match=said), write_aside(tmp_path / "a.png"):
        full()
    said = r"cannot write .*b: .*os error 28.*; make room, or choose"
    with pytest.raises(UnwritableFolder, match=said), write_aside(tmp_path / "b"):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
    with pytest.raises(UnwritableFolder, match="No space left on device"), write_folder_aside(tmp_path / "c"):
        full()
    assert not list(tmp_path.iterdir())


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        with write_aside(tmp_path / "old.png") as temporary:
            temporary.write_bytes(b"half")
            with write_folder_aside(tmp_path / "model") as folder:
                (folder / "part").write_bytes(b"half")
                os._exit(0)
    os.waitpid(child, 0)
    assert len(list(tmp_path.iterdir())) == 2
    with write_aside(tmp_path / "new.png") as temporary:
        temporary.write_bytes(b"whole")
        remove_leftovers(tmp_path)  # spares what a process that is alive writes
    assert [path.name for path in tmp_path.iterdir()] == ["new.png"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
def test_what_is_being_written_stays_when_the_clock_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """psutil counts from the clock when a process was started, so that a living one seemed to be another."""
    with write_aside(tmp_path / "new.png") as temporary:
        temporary.write_bytes(b"whole")
        started = psutil.Process().create_time()
        monkeypatch.setattr(psutil.Process, "create_time", lambda self: started - 3600)
        remove_leftovers(tmp_path)
        assert temporary.exists()


def test_what_a_library_left_that_was_killed_while_it_wrote_is_removed(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        with write_aside(tmp_path / "a.safetensors") as temporary:
            save_file({"a": np.zeros(1000)}, temporary)
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGXFSZ
    assert list(tmp_path.iterdir())
    remove_leftovers(tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_another_machine_writes_is_left_alone_for_a_day(tmp_path: Path) -> None:
    there = tmp_path / ".a.png.part-00000000-1-1-x.png"
    there.touch()
    remove_leftovers(tmp_path)
    assert there.exists()
    os.utime(there, (0, 0))
    remove_leftovers(tmp_path)
    assert not there.exists()


def test_a_name_as_long_as_the_file_system_takes_is_written(tmp_path: Path) -> None:
    for name in ("a" * 251 + ".png", "ü" * 125 + ".png"):
        with write_aside(tmp_path / name) as temporary:
            temporary.write_bytes(b"")
        assert (tmp_path / name).exists()
    with pytest.raises(UnwritableFolder, match="File name too long; choose another name with -o"):
        require_name(tmp_path / ("a" * 256))
    require_name(tmp_path / "new")


def test_a_file_that_appeared_meanwhile_stays(tmp_path: Path) -> None:
    target = tmp_path / "a"

    def collide() -> None:
        with write_aside(target, replace=False) as temporary:
            temporary.write_text("mine")
            target.write_text("theirs")

    with pytest.raises(UnwritableFolder, match="File exists"):
        collide()
    assert target.read_text() == "theirs"
    with write_aside(tmp_path / "b", replace=False) as temporary:
        temporary.write_text("mine")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_processes_that_want_one_name_get_one_each(tmp_path: Path) -> None:
    children = []
    for number in range(4):
        child = os.fork()
        if child == 0:
            for turn in range(8):
                write_unused(tmp_path / "a.png", lambda path, own=f"{number} {turn}": path.write_text(own) and None)
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    assert len({path.read_text() for path in tmp_path.iterdir()}) == 32
    assert (tmp_path / "a-32.png").exists()


def test_files_are_moved_into_a_folder_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "note").write_text("mine")
    (tmp_path / "model" / "old").write_text("old")
    with write_folder_aside(tmp_path / "model", instead_of=[tmp_path / "model" / "old"]) as folder:
        (folder / "unet").mkdir()
        (folder / "unet" / "weights").write_text("new")
    assert {path.name for path in (tmp_path / "model").rglob("*")} == {"note", "unet", "weights"}
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("../../etc/passwd", "etc-passwd"),
        ("..", "nobody"),
        ("/absolute", "absolute"),
        ("a\0b\nc", "a-b-c"),
        ("ü" * 40, "ü" * 30),
        ("half\ud800", "half"),
    ],
)
def test_names_lead_out_of_no_folder(name: str, file: str) -> None:
    assert file_name(name, "nobody") == file


def test_a_check_that_is_killed_leaves_nothing(tmp_path: Path) -> None:
    if os.fork() == 0:
        sys.addaudithook(lambda event, arguments: os._exit(0) if event == "os.remove" else None)
        require_writable(tmp_path)
        os._exit(0)
    os.wait()
    assert not list(tmp_path.iterdir())
