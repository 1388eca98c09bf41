"""What a run takes on the published models, planned and not measured: every method on every public architecture.

    python -m benchmarks.expected --bases sd15 sdxl --methods lora

The base is in bf16, adapters in float32, everything else as the recipe says; pictures have the base's own size.
"""

import argparse
from dataclasses import replace
from typing import Any

import torch

from benchmarks.rendering import render
from benchmarks.results import read_results, write_results
from portraitist.adapters import list_methods
from portraitist.training.planning.planning import make_plan

BASES = ("sd15", "sdxl", "flux")
_PHOTOS = 5


def expect(base: str, method: str) -> dict[str, Any]:
    """Plan a run as its recipe has it, and with activations computed twice."""
    plain = make_plan(base, method, {}, _PHOTOS, dtype=torch.bfloat16)
    again = plain.footprint.memory(plain.trained, replace(plain.setup, checkpointed=True))
    return {
        "resolution": plain.resolution,
        "batch": plain.recipe.batch_size,
        "prior": plain.recipe.prior,
        "precision": plain.recipe.precision,
        "numbers": plain.parameters,
        "file": plain.file,
        "base": plain.memory.base,
        "peak": plain.memory.peak,
        "checkpointed": again.peak,
    }


def main() -> None:
    """Run from the command line; other rows stay as they are."""
    names = [method.name for method in list_methods()]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bases", nargs="+", default=BASES, choices=BASES)
    parser.add_argument("--methods", nargs="+", default=names, choices=names)
    arguments = parser.parse_args()
    content = read_results("memory")
    for base in arguments.bases:
        for method in arguments.methods:
            content.setdefault(base, {})[method] = entry = expect(base, method)
            print(f"{base}, {method}: {entry['peak'] / 1e9:.1f} GB, {entry['checkpointed'] / 1e9:.1f} GB", flush=True)
            write_results("memory", content, {"memory.md": render("memory.md.j2", content=content)})


if __name__ == "__main__":
    main()
