"""What an adapter costs: a training step of a denoiser with each method, against the frozen model.

The floor is the forward and backward pass of the frozen denoiser to its input. Our methods and the peers run in the
same process, alternating with the floor. Results are added to docs/results/speed.json, one entry a contender and
setting, so that a long comparison can be made in pieces; `python -m benchmarks.flops` counts the arithmetic. What a
GPU takes in bfloat16 is also noted for `portraitist plan`.

    python -m benchmarks.adapters --latent 32 --rounds 5 --methods "lora r=4" "svdiff, all layers"
    python -m benchmarks.adapters --device cuda --architecture sdxl --latent 128 --dtype bfloat16 --compile
"""

import argparse
import math
import shlex
import statistics
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from benchmarks.contenders import CONTENDERS, FLOOR, Bench, Ours
from benchmarks.measuring import alternate, environment, keep_freed_memory, tensor_memory
from benchmarks.results import add_results
from portraitist.bases.architectures import list_architectures
from portraitist.bases.skeletons import build_skeleton
from portraitist.training.planning.times import FILE, PassTime, add_times


def compare(arguments: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Measure the chosen contenders; return one entry for each."""
    bench = Bench(
        arguments.latent,
        arguments.device,
        getattr(torch, arguments.dtype),
        arguments.architecture,
        arguments.compile,
        arguments.checkpointing,
    )
    facts = {
        "command": shlex.join(["python", "-m", "benchmarks.adapters", *sys.argv[1:]]),
        "architecture": arguments.architecture,
        "latent": arguments.latent,
        "dtype": arguments.dtype,
        "device": arguments.device,
        "compiled": arguments.compile,
        "checkpointed": arguments.checkpointing,
        **environment(),
    }
    steps, kept, preparation = {FLOOR: bench.floor}, {}, {}
    for name in arguments.methods:
        before, start = tensor_memory(), time.perf_counter()
        steps[name] = CONTENDERS[name](bench)
        preparation[name], kept[name] = time.perf_counter() - start, tensor_memory() - before
    measured = alternate(steps, arguments.rounds, arguments.limit)
    weights = sum(weight.numel() * weight.element_size() for weight in bench.unet.parameters())
    return {
        f"{name}, {_setting(arguments)}": {
            "name": name,
            **facts,
            "step": asdict(measured[name]),
            "floor": asdict(measured[FLOOR]),
            "preparation_seconds": preparation[name],
            "kept_memory": kept[name],
            "base_memory": weights,
        }
        for name in arguments.methods
    }


def pass_times(arguments: argparse.Namespace, entries: Mapping[str, dict[str, Any]], side: int) -> list[PassTime]:
    """Return what `portraitist plan` tells of these measurements: passes of our own methods on a GPU, as one trains."""
    if not arguments.device.startswith("cuda") or arguments.dtype != "bfloat16" or arguments.compile:
        return []
    found = []
    for entry in entries.values():
        contender = CONTENDERS[entry["name"]]
        if isinstance(contender, Ours):
            seconds = statistics.median(entry["step"]["seconds"])
            case = (entry["machine"], arguments.architecture, contender.method, side, arguments.checkpointing)
            found.append(PassTime(*case, seconds))
    return found


def _setting(arguments: argparse.Namespace) -> str:
    """Return what entries of a setting have in their names."""
    sides = f"{arguments.latent}x{arguments.latent}"
    own = [arguments.architecture] if arguments.architecture != "sd15" else []
    switches = [name for name in ("compile", "checkpointing") if getattr(arguments, name)]
    return ", ".join([*own, sides, arguments.dtype, arguments.device, *switches])


def main() -> None:
    """Run the benchmark from the command line."""
    keep_freed_memory()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architecture", default="sd15", choices=list_architectures())
    parser.add_argument("--latent", type=int, default=32, help="side of the latents")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--limit", type=float, default=math.inf, help="seconds after which no other round begins")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16", "float16"])
    parser.add_argument("--compile", action="store_true", help="compile every denoiser")
    parser.add_argument("--checkpointing", action="store_true", help="compute activations again in the backward pass")
    parser.add_argument("--methods", nargs="+", default=list(CONTENDERS), choices=list(CONTENDERS), metavar="NAME")
    arguments = parser.parse_args()
    if arguments.compile:
        torch._dynamo.config.recompile_limit = 8 * len(arguments.methods)  # every contender is a graph of its own
    entries = compare(arguments)
    add_results("steps", entries)
    side = arguments.latent * build_skeleton(arguments.architecture).pipeline.vae_scale_factor
    if times := pass_times(arguments, entries, side):
        add_times(times, Path(str(FILE)))


if __name__ == "__main__":
    main()
