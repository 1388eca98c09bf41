"""Processes that work for this one: what they raise comes back, and they end when it is killed."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Future
from pathlib import Path

import killed_runs
import pytest
from pebble import ProcessExpired

from portraitist.errors import WorkerLost
from portraitist.studies.runs import processes
from portraitist.studies.runs.processes import spread


@pytest.mark.parametrize("workers", [1, 2])
def test_every_item_is_worked_on(tmp_path: Path, workers: int) -> None:
    folders = [str(tmp_path / name) for name in "abc"]
    assert sorted(spread(os.mkdir, folders, workers)) == folders
    assert all(Path(folder).is_dir() for folder in folders)
    with pytest.raises(FileExistsError):
        list(spread(os.mkdir, folders[:1], workers))


def test_what_was_lost_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    lost: Future[None] = Future()
    lost.set_exception(ProcessExpired("Abnormal termination", code=-9))
    monkeypatch.setattr(processes, "in_processes", lambda work, items, workers: iter([(7, lost)]))
    with pytest.raises(WorkerLost, match="pair 7: its process was killed twice"):
        list(spread(print, [7], 2, lambda number: f"pair {number}"))


def test_processes_end_with_the_one_that_started_them(tmp_path: Path) -> None:
    script = Path(killed_runs.__file__)
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        parent.kill()
    for _ in range(100):
        if not _is_running(worker):
            return
        time.sleep(0.1)
    os.kill(worker, signal.SIGKILL)
    pytest.fail("the worker outlived its parent by ten seconds")


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text() if Path("/proc").exists() else True
