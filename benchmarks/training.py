"""From photos to an adapter file on toyland: the whole command, for every method, on the bundled subjects.

    python -m benchmarks.training --methods lora svdiff --subjects 2

Every run is a process with an empty cache, so its time holds starting up, drawing the class images and, for spectral
shifts, decomposing the weights. Methods take turns on one subject before the next one begins.
"""

import argparse
import os
import resource
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.measuring import environment
from benchmarks.results import add_results
from portraitist.adapters import list_methods, load_adapter
from portraitist.studies.grid.study import SubjectEntry, load_study


def train(method: str, subject: SubjectEntry) -> dict[str, Any]:
    """Train one adapter in a process of its own; return its seconds, steps and bytes."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "adapter.safetensors"
        command = ["train", str(subject.photos), "--class", subject.class_noun, "--method", method, "-o", str(file)]
        before, start = _processor_seconds(), time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "portraitist", *command],
            env={**os.environ, "PORTRAITIST_CACHE": str(Path(folder) / "cache")},
            check=True,
            capture_output=True,
        )
        return {
            "seconds": time.perf_counter() - start,
            "processor_seconds": _processor_seconds() - before,
            "steps": load_adapter(file).provenance.facts["recipe"]["steps"],
            "bytes": file.stat().st_size,
        }


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Run the benchmark from the command line."""
    names = [method.name for method in list_methods()]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", default=names, choices=names)
    parser.add_argument(
        "--subjects", type=int, default=2, help="how many of the bundled subjects, of different classes"
    )
    arguments = parser.parse_args()
    facts = {"command": shlex.join(["python", "-m", "benchmarks.training", *sys.argv[1:]]), **environment()}
    runs: dict[str, list[dict[str, Any]]] = {method: [] for method in arguments.methods}
    for subject in load_study("methods").subject_entries()[: arguments.subjects]:
        for method, done in runs.items():
            done.append(train(method, subject))
            print(f"{method}, {subject.name}: {done[-1]['seconds']:.0f} s", flush=True)
    for method, done in runs.items():
        times = {key: [run[key] for run in done] for key in ("seconds", "processor_seconds")}
        add_results("training", {method: {**facts, **times, "steps": done[0]["steps"], "bytes": done[0]["bytes"]}})


if __name__ == "__main__":
    main()
