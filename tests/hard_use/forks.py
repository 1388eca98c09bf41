"""Work in forks of this process, which has imported everything: under limits of memory and time, killed where asked."""

import os
import resource
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from portraitist.errors import PortraitistError

# Audit events of Python that change what is on a disk; opening is one only for writing.
_WRITES = {"os.rename", "os.link", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "os.chmod", "shutil.rmtree"}
_REFUSED, _TRACEBACK = 3, 4


@dataclass(frozen=True)
class Ending:
    """How a fork ended.

    Attributes:
        how: ``done``, ``refused`` (an error a user is meant to read), ``traceback``, ``killed`` or ``slow``.
        text: What it said.
    """

    how: str
    text: str = ""


def in_fork(work: Callable[[], object], seconds: float = 60, prepare: Callable[[], object] | None = None) -> Ending:
    """Do some work in a fork and say how it ended.

    Args:
        work: The work; what it returns is forgotten.
        seconds: After so many it is killed.
        prepare: Called in the fork before, e.g. to set limits.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _be_quiet()
        _work(work, prepare, writing)
    os.close(writing)
    return _ending(child, reading, seconds)


def _work(work: Callable[[], object], prepare: Callable[[], object] | None, writing: int) -> None:
    code = _TRACEBACK
    try:
        if prepare is not None:
            prepare()
        work()
        code = 0
    except PortraitistError as error:
        code = _REFUSED
        os.write(writing, str(error).encode(errors="replace")[:4000])
    except BaseException:
        os.write(writing, traceback.format_exc().encode(errors="replace")[-4000:])
    finally:
        os._exit(code)


def _ending(child: int, reading: int, seconds: float) -> Ending:
    text, deadline = b"", time.monotonic() + seconds
    while select.select([reading], [], [], max(0, deadline - time.monotonic()))[0]:
        part = os.read(reading, 65536)
        if not part:
            break
        text += part
    else:
        os.kill(child, signal.SIGKILL)
    late = time.monotonic() >= deadline
    os.close(reading)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return Ending("slow" if late else "killed")
    how = {0: "done", _REFUSED: "refused"}.get(os.WEXITSTATUS(status), "traceback")
    return Ending(how, text.decode(errors="replace"))


def one_by_one(
    cases: Sequence[Any], work: Callable[[Any], str], seconds: float, prepare: Callable[[], object]
) -> Iterator[str]:
    """Yield what work says of each case, in as few forks as possible: a new one only after one was lost.

    A case in which a fork is lost is ``killed``, or ``slow`` if it took too long.
    """
    start = 0
    while start < len(cases):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            _be_quiet()
            try:
                prepare()
                for case in cases[start:]:
                    os.write(writing, (work(case).replace("\n", " ")[:1000] + "\n").encode(errors="replace"))
            finally:
                os._exit(0)
        os.close(writing)
        buffer, late = b"", False
        while start < len(cases):
            if not select.select([reading], [], [], seconds)[0]:
                os.kill(child, signal.SIGKILL)
                late = True
                break
            part = os.read(reading, 65536)
            if not part:
                break
            *lines, buffer = (buffer + part).split(b"\n")
            for line in lines:
                yield line.decode()
                start += 1
        os.close(reading)
        os.waitpid(child, 0)
        if start < len(cases):
            yield "slow" if late else "killed"
            start += 1


def limit_memory(more: int) -> None:
    """Let this process take so many bytes more than it has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    size = pages * resource.getpagesize() + more
    resource.setrlimit(resource.RLIMIT_AS, (size, size))


def limit_files(size: int) -> None:
    """Let no file that this process writes be larger than so many bytes: a disk that is full sooner or later."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def die_at_size(size: int) -> None:
    """Have this process killed when a file that it writes becomes larger than so many bytes."""
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def at_write(number: int, below: Path, then: Callable[[], object]) -> Callable[[], int]:
    """Do something right before this process changes files below a folder for the n-th time, counted from 0.

    Returns:
        A function that says how often it has.
    """
    count, place = 0, str(below)

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        if event == "open":
            writes = isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        else:
            writes = event in _WRITES
        if not writes or not arguments or place not in str(arguments[0]):
            return
        count += 1
        if count - 1 == number:
            then()

    sys.addaudithook(hear)
    return lambda: count


def kill_self() -> None:
    """End this process as the kernel would."""
    os.kill(os.getpid(), signal.SIGKILL)


def _be_quiet() -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
