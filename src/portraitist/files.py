"""Writing files so that nothing is lost: aside first, then renamed; room and permission checked before work starts."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from errno import ENOENT
from pathlib import Path

from portraitist.errors import UnwritableFolder


@contextmanager
def write_aside(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; on success it is renamed onto `path`, on an error removed.

    Raises:
        UnwritableFolder: If the folder cannot be created or written.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=path.suffix, dir=path.parent)
    except OSError as error:
        raise UnwritableFolder(f"cannot write {path}: {error.strerror}; {_elsewhere(path)}") from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def write_folder_aside(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; on success it is renamed onto `path`, on an error removed.

    Raises:
        UnwritableFolder: If the folder above cannot be written, or `path` is a folder that is not empty.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    except OSError as error:
        raise UnwritableFolder(f"cannot write {path}: {error.strerror}; choose another place with -o") from error
    try:
        yield temporary
        temporary.chmod(0o777 & ~_umask())
        try:
            os.replace(temporary, path)
        except OSError as error:
            raise UnwritableFolder(f"cannot write {path}: {error.strerror}; choose another place with -o") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def require_writable(folder: Path, size: int = 0) -> None:
    """Check, before work starts, that a folder can be written, or made, and has room for `size` bytes.

    Nothing is left behind: a folder that is not there yet is made by the first thing that is written into it.

    Raises:
        UnwritableFolder: If it cannot or has not.
    """
    try:
        existing = _nearest_existing(folder)
        with tempfile.NamedTemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise UnwritableFolder(f"cannot write into {folder}: {error.strerror}; choose another place with -o") from error
    free = shutil.disk_usage(existing).free
    if free < size:
        raise UnwritableFolder(
            f"{folder} has {free / 1e6:.0f} MB of free disk space, but {size / 1e6:.0f} MB are needed; make room or"
            " choose another place with -o"
        )


def _nearest_existing(folder: Path) -> Path:
    """Return the folder, or the first one above it that is there; a link counts, wherever it leads."""
    for place in (folder, *folder.parents):
        try:
            place.lstat()
        except FileNotFoundError:
            continue
        return place
    raise FileNotFoundError(ENOENT, "No such folder")


def cache_folder() -> Path:
    """Return the folder for things that can be made again: ``$PORTRAITIST_CACHE`` or the user's cache."""
    own = os.environ.get("PORTRAITIST_CACHE")
    if own:
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "portraitist"


def _elsewhere(path: Path) -> str:
    """Say how to have a file written to another place."""
    if path.is_relative_to(cache_folder()):
        return "set $PORTRAITIST_CACHE to a folder that can be written"
    return "choose another place with -o"


def sha256(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
