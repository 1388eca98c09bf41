"""Two processes on one machine make one toyland together."""

import os
import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

from portraitist.training.networks.reports import read_report

SUPPORT = Path(__file__).parents[1] / "support"


def test_two_processes_make_one_toyland(tmp_path: Path) -> None:
    launched = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    paths = os.pathsep.join([str(SUPPORT), *sys.path])
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    result = subprocess.run(
        [*launched, str(SUPPORT / "make_in_processes.py"), str(tmp_path)],
        **{"capture_output": True, "text": True, "timeout": 240, "check": False, "env": environment},
    )
    assert result.returncode == 0, result.stderr
    first, second = (load_file(tmp_path / f"process-{rank}.safetensors") for rank in (0, 1))
    assert all(torch.equal(first[name], second[name]) for name in first)
    report = read_report(tmp_path)
    assert report["denoiser"]["samples"] == 16, "a batch is shared out, not doubled"
    assert (tmp_path / "pipeline" / "model_index.json").exists()
