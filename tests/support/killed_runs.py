"""Runs whose processes are killed, as the system does when memory runs out; in a module that processes can import."""

import os
import signal
import time
from pathlib import Path
from typing import Any

from portraitist.studies.runs.outcome import RunOutcome
from portraitist.studies.runs.processes import in_processes


def die_or_not(spec: Any, device: str) -> RunOutcome:
    """Have the process killed; where `spec` is the path of a file that can be made, only the first time."""
    if not Path(spec).is_file():
        if Path(spec).is_absolute():
            Path(spec).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return RunOutcome(spec, "done")


def process_id(_: Any) -> int:
    """Return the process that was asked, so that a test can see whether it still lives."""
    return os.getpid()


if __name__ == "__main__":  # keeps a process waiting for work, and says which
    for _, future in in_processes(process_id, [0, 1], 1):
        print(future.result(), flush=True)
        time.sleep(600)
