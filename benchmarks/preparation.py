"""How long it takes to decompose every weight of a UNet once, and to read the decompositions again.

python -m benchmarks.preparation
python -m benchmarks.preparation --architecture sdxl --device cuda
"""

import argparse
import shlex
import sys
import tempfile
import time
from os import environ
from typing import Any

import torch

from benchmarks.contenders import Bench
from benchmarks.measuring import environment
from benchmarks.results import add_results
from portraitist.adapters import find_layers
from portraitist.adapters.spectrum import spectra_of


def prepare(architecture: str, device: str) -> dict[str, Any]:
    """Decompose all weights into an empty cache, then read them for a second model with the same weights."""
    with tempfile.TemporaryDirectory() as folder:
        environ["PORTRAITIST_CACHE"] = folder
        entry: dict[str, Any] = {}
        for key in ("computed", "read"):
            bench = Bench(32, device, torch.float32, architecture)
            specs = [spec for spec in find_layers({"unet": bench.unet}, ["unet.*"]) if len(spec.shape) > 1]
            weights = [bench.unet.get_parameter(f"{spec.name.removeprefix('unet.')}.weight") for spec in specs]
            start, processor = time.perf_counter(), time.process_time()
            spectra = spectra_of(weights)
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            entry[f"{key}_seconds"] = time.perf_counter() - start
            entry[f"{key}_processor_seconds"] = time.process_time() - processor
        entry["spectra_memory"] = 4 * sum(s.sigma.numel() + s.u.numel() + s.v.numel() for s in spectra)
        entry["base_memory"] = 4 * sum(weight.numel() for weight in bench.unet.parameters())
    return entry


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architecture", default="sd15")
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    command = shlex.join(["python", "-m", "benchmarks.preparation", *sys.argv[1:]])
    entry = {"command": command, **environment(), **prepare(arguments.architecture, arguments.device)}
    print(entry)
    device = "" if arguments.device == "cpu" else f", {arguments.device}"
    add_results("preparation", {f"{arguments.architecture}{device}": entry})


if __name__ == "__main__":
    main()
