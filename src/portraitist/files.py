"""Writing files so that nothing is lost: aside first, then renamed; room and permission checked before work starts."""

import hashlib
import itertools
import os
import platform
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from errno import EDQUOT, EEXIST, EFBIG, ENAMETOOLONG, ENOENT, ENOSPC
from pathlib import Path

import psutil
from safetensors import SafetensorError

from portraitist.errors import BadFile, UnwritableFolder

_FULL = (ENOSPC, EDQUOT, EFBIG)
# Bytes of a file's name that its temporary repeats; the whole might be too long with what is added.
_SHORT = 60
# What temporaries have in their names, before the machine, the process and its start.
_MARK = ".part-"
_WRITER = re.compile(rf"{re.escape(_MARK)}(?P<machine>[0-9a-f]+)-(?P<process>\d+)-(?P<started>\d+)-")
_DAY = 24 * 3600
# Folders that this process has looked through for what dead ones left.
_swept: set[Path] = set()


def file_name(name: str, otherwise: str, longest: int = 60) -> str:
    """Return a name as the name of a file: words and hyphens, which lead out of no folder.

    Args:
        name: What a person, a file or a study calls something.
        otherwise: What it is called where nothing of the name is left.
        longest: Bytes it may have, in UTF-8.
    """
    words = re.sub(r"[^\w]+", "-", name).strip("-_")
    return words.encode(errors="ignore")[:longest].decode(errors="ignore").rstrip("-_") or otherwise


@contextmanager
def write_aside(path: Path, replace: bool = True) -> Iterator[Path]:
    """Yield a temporary path on the same disk; on success it is renamed onto `path`, on an error removed.

    What writers that were killed left in the folder is removed on the way.

    Args:
        path: The file.
        replace: Take the place of a file that is there; without, one that appeared meanwhile stays.

    Raises:
        UnwritableFolder: If the folder cannot be created or written, as when the disk is full, or a file that is not to
            be replaced is there.
    """
    path = Path(path)
    with _beside(path) as folder:
        temporary = folder / path.name
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        _put(temporary, path, replace)


@contextmanager
def write_folder_aside(path: Path, instead_of: Collection[Path] | None = None) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; on success it is renamed onto `path`, on an error removed.

    Args:
        path: The folder.
        instead_of: Files of that folder that the new ones take the place of. Given, it may be there with other things:
            these files are removed, and the new ones are moved in one by one.

    Raises:
        UnwritableFolder: If the folder above cannot be written, or `path` is a folder that is not empty.
    """
    path = Path(path)
    with _beside(path) as temporary:
        yield temporary
        temporary.chmod(0o777 & ~_umask())
        if instead_of is not None and path.is_dir() and any(path.iterdir()):
            for file in instead_of:
                file.unlink(missing_ok=True)
            _move_files(temporary, path)
        else:
            os.replace(temporary, path)


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside a path, which is removed in the end with all that is still in it.

    A file has one too, as libraries that write it may have temporaries of their own beside it.
    """
    with _naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path.parent)
        temporary = Path(tempfile.mkdtemp(prefix=_prefix(path), dir=path.parent))
    try:
        with _naming(path):
            yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_unused(path: Path, write: Callable[[Path], None]) -> Path:
    """Write a file under a name that is free, numbered if need be; of several processes each gets names of its own.

    Args:
        path: The name to begin with.
        write: Writes the file to the temporary path it is given.

    Returns:
        The file.

    Raises:
        UnwritableFolder: If it cannot be written.
    """
    numbered = (path.with_name(f"{path.stem}-{number}{path.suffix}") for number in itertools.count(2))
    for free in itertools.chain([path], numbered):
        if os.path.lexists(free):
            continue
        try:
            with write_aside(free, replace=False) as temporary:
                write(temporary)
        except UnwritableFolder as error:
            if isinstance(error.__cause__, FileExistsError):  # taken meanwhile
                continue
            raise
        return free
    raise AssertionError("numbers do not end")


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Say of an error of the disk, whichever library met it, what could not be written and what to do."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        remedy = f"make room, or {_elsewhere(path)}" if _is_full(error) else _elsewhere(path)
        raise UnwritableFolder(f"cannot write {path}: {reason}; {remedy}") from error


def _is_full(error: Exception) -> bool:
    """Say whether an error is that of a disk without room; safetensors tells in words only."""
    return getattr(error, "errno", None) in _FULL or any(f"os error {number}" in str(error) for number in _FULL)


def _put(temporary: Path, path: Path, replace: bool) -> None:
    """Give a finished file its name."""
    if replace:
        os.replace(temporary, path)
        return
    try:
        os.link(temporary, path)  # fails where a file is, in one step
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        if path.exists():
            raise FileExistsError(EEXIST, os.strerror(EEXIST)) from None
        os.replace(temporary, path)


def _move_files(source: Path, target: Path) -> None:
    for file in sorted(path for path in source.rglob("*") if path.is_file()):
        place = target / file.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        os.replace(file, place)


def _prefix(path: Path) -> str:
    """Return how the name of a temporary for `path` begins: it tells which process writes it."""
    shown = path.name.encode()[:_SHORT].decode(errors="ignore")
    return f".{shown}{_MARK}{_machine()}-{os.getpid()}-{_started(os.getpid())}-"


def _sweep(folder: Path) -> None:
    """Remove what dead processes left in a folder, the first time this process writes there."""
    if folder not in _swept:
        _swept.add(folder)
        remove_leftovers(folder)


def remove_leftovers(folder: Path, deep: bool = False) -> None:
    """Remove the temporaries of processes that were killed from a folder, and from those in it if `deep`."""
    pattern = f".*{_MARK}*"
    for path in sorted(folder.rglob(pattern) if deep else folder.glob(pattern)):
        if not _is_written(path):
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def remove_folder(folder: Path) -> None:
    """Remove a folder: in one step for all who look, by giving it the name of a temporary first."""
    with suppress(OSError):
        aside = Path(tempfile.mkdtemp(prefix=_prefix(folder), dir=folder.parent))
        with suppress(OSError):
            os.replace(folder, aside / folder.name)
        shutil.rmtree(aside, ignore_errors=True)


def _is_written(temporary: Path) -> bool:
    """Say whether the process that made a temporary may still write it; of one elsewhere a day's silence tells."""
    found = _WRITER.search(temporary.name)
    if found is None:
        return True
    if found["machine"] != _machine():
        try:
            return time.time() - temporary.stat().st_mtime < _DAY
        except OSError:
            return True
    return _started(int(found["process"])) == int(found["started"])


def _machine() -> str:
    return hashlib.blake2b(platform.node().encode(), digest_size=4).hexdigest()


def _started(process: int) -> int:
    """Return when a process was started; 0 if there is none. Numbers of processes come again, moments do not.

    Under Linux in ticks since the machine started, which setting the clock does not move (proc_pid_stat(5)).
    """
    with suppress(OSError):
        return int(Path(f"/proc/{process}/stat").read_bytes().rpartition(b")")[2].split()[19])
    try:
        return int(psutil.Process(process).create_time())
    except psutil.Error:
        return 0


def require_writable(folder: Path, size: int = 0) -> None:
    """Check, before work starts, that a folder can be written, or made, and has room for `size` bytes.

    Nothing is left behind: a folder that is not there yet is made by the first thing that is written into it.

    Raises:
        UnwritableFolder: If it cannot or has not.
    """
    try:
        existing = _nearest_existing(folder)
        with tempfile.TemporaryFile(dir=existing):  # it has no name that a killed process could leave
            pass
    except OSError as error:
        raise UnwritableFolder(f"cannot write into {folder}: {error.strerror}; choose another place with -o") from error
    free = shutil.disk_usage(existing).free
    if free < size:
        raise UnwritableFolder(
            f"{folder} has {free / 1e6:.0f} MB of free disk space, but {size / 1e6:.0f} MB are needed; make room or"
            " choose another place with -o"
        )


def require_name(path: Path) -> None:
    """Check, before work starts, that a file system takes a path's name.

    Raises:
        UnwritableFolder: If it does not, as when it is too long.
    """
    try:
        path.lstat()
    except ValueError as error:
        raise UnwritableFolder(f"cannot write {str(path)!r}: {error}; choose another name with -o") from error
    except OSError as error:
        if error.errno == ENAMETOOLONG:
            raise UnwritableFolder(f"cannot write {path}: {error.strerror}; choose another name with -o") from error


def require_unused(path: Path, overwrite: bool | None = None, *, folder: bool = False) -> None:
    """Check, before work starts, that nothing is replaced unasked.

    Args:
        path: What will be written.
        overwrite: Whether it may be replaced; None where that cannot be asked for.
        folder: It may be an empty folder.

    Raises:
        BadFile: If something is there, be it a link to nothing.
    """
    if overwrite or not os.path.lexists(path) or (folder and path.is_dir() and not any(path.iterdir())):
        return
    remedy = "" if overwrite is None else ", or use --overwrite"
    raise BadFile(f"{path} exists already; choose another place with -o{remedy}")


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
