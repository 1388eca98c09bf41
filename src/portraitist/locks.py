"""Places that belong to one process at a time; whoever comes second reads in one line which is taken, and by whom.

The lock is the system's, on a hidden file that says who holds it, and ends with the process: what one that was killed
leaves is no lock, and is taken over.
"""

import json
import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from hashlib import blake2b
from pathlib import Path

from filelock import FileLock, Timeout

from portraitist.errors import InUse, PortraitistError, UnwritableFolder
from portraitist.files import require_writable
from portraitist.reading import read_text

_LOCK = ".lock"
# Bytes of what is said of a holder.
_LARGEST = 4096
_LOOKS, _MOMENT = 10, 0.05  # seconds
# Bytes of a name that the name of its lock repeats; of a longer one it has a hash.
_LONGEST = 100


@contextmanager
def held(
    folder: Path,
    work: str,
    name: str = "",
    *,
    shown: Path | None = None,
    instead: str = "choose another folder",
    patience: float = 0.0,
) -> Iterator[None]:
    """Hold a folder, or one thing in it, against other processes; one that is not there is made.

    Args:
        folder: The folder.
        work: What is done there, as others are told: ``a study``.
        name: The thing in the folder; the folder itself when empty. Locks of different names do not meet.
        shown: What others are told is in use; the thing held when not given.
        instead: What others can do but wait.
        patience: Seconds to wait for somebody else.

    Raises:
        InUse: If another process holds it.
        UnwritableFolder: If the folder cannot be made or written.
    """
    path, taken = lock_file(folder, name), shown or folder / name
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    lock = FileLock(path, timeout=patience)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        if not os.path.lexists(path):  # no file can be made there, or the other one has just gone
            require_writable(folder)
        raise InUse(f"{taken} is in use by {_holder(path)}; wait until that has ended, or {instead}") from error
    except OSError as error:
        raise UnwritableFolder(f"cannot write {folder}: {error.strerror}; {instead}") from error
    own = _identity(path)
    try:
        _note(path, work)
        yield
    finally:
        if own == _identity(path):  # else the folder was taken away, and the next one may be at work in a new one
            with suppress(OSError):
                path.unlink()
        lock.release()
        with suppress(OSError):  # there is more in it, or another process has just begun
            for place in missing:
                place.rmdir()


@contextmanager
def output_held(path: Path, work: str, check: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Hold a file or folder that is written as a whole against other processes that would write it too.

    Args:
        path: The file or folder; it need not be there.
        work: What writes it, as others are told: ``an export``.
        check: Raises if it may not be written, as when it is there. Called before and again once it is held, as
            another process may have written it in between.

    Raises:
        InUse: If another process writes it.
        UnwritableFolder: If the folder it is in cannot be made or written.
    """
    check()
    with held(path.parent, work, path.name, instead="choose another place with -o"):
        check()
        yield


def lock_file(folder: Path, name: str = "") -> Path:
    """Return the file whose lock stands for a folder, or for one thing in it."""
    content = name.encode(errors="surrogateescape")
    if len(content) > _LONGEST:
        name = blake2b(content, digest_size=16).hexdigest()
    return folder / (f".{name}{_LOCK}" if name else _LOCK)


def _identity(path: Path) -> tuple[int, int] | None:
    """Return what tells a file from another of the same name; None if there is none."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _note(path: Path, work: str) -> None:
    """Write into a lock's file who holds it."""
    since = datetime.now().isoformat(sep=" ", timespec="seconds")
    known = {"work": work, "process": os.getpid(), "machine": platform.node(), "since": since}
    if path.is_file():
        with suppress(OSError):  # a full disk; the lock holds all the same
            path.write_text(json.dumps(known), encoding="utf-8")


def _holder(path: Path) -> str:
    """Say who holds a lock, as far as its file tells; one who has just come is given a moment to write it."""
    for _ in range(_LOOKS):
        try:
            known = json.loads(read_text(path, "a lock", limit=_LARGEST))
            elsewhere = "" if known["machine"] == platform.node() else f" on {known['machine']}"
            return f"{known['work']} (process {known['process']}{elsewhere}, since {known['since']})"
        except (PortraitistError, ValueError, KeyError, TypeError, RecursionError):
            time.sleep(_MOMENT)
    return "another process"
