"""Starting this command again as several processes on this machine that train together."""

import os
import subprocess
import sys


def is_launched() -> bool:
    """Say whether this process is one of several that were started together."""
    return "WORLD_SIZE" in os.environ


def launch(processes: int, threads: int | None) -> int:
    """Run this command in several processes, as torchrun does, and return their exit status."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    environment = {"OMP_NUM_THREADS": str(threads or 1), "ACCELERATE_USE_CPU": "true", **os.environ}
    return subprocess.run([*command, "-m", "portraitist", *sys.argv[1:]], env=environment, check=False).returncode
