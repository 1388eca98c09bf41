"""A file is there whole or not at all, and a run that cannot be saved does not start."""

import hashlib
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from portraitist.errors import UnwritableFolder
from portraitist.files import require_writable, sha256, write_aside


def test_the_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "new" / "picture.png"
    with write_aside(target) as temporary:
        temporary.write_bytes(b"half")
        assert not target.exists()
        assert temporary.parent == target.parent
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
