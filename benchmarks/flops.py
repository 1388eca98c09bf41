"""Arithmetic counted on the meta device, where nothing is computed: what a step must cost at least.

python -m benchmarks.flops --latents 32 64
"""

import argparse

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.contenders import CONTENDERS, FLOOR, UNCOUNTED, Bench, Step
from benchmarks.results import add_results


def count_flops(step: Step) -> int:
    """Count the floating point operations of matrix products and convolutions, forward and backward."""
    with FlopCounterMode(display=False) as counter:
        step()
    return int(counter.get_total_flops())


def main() -> None:
    """Count for all contenders and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--latents", type=int, nargs="+", default=[32, 64])
    parser.add_argument("--architecture", default="sd15")
    arguments = parser.parse_args()
    for latent in arguments.latents:
        bench = Bench(latent, "meta", torch.float32, arguments.architecture)
        counts = {FLOOR: count_flops(bench.floor)}
        for name in CONTENDERS:
            if name not in UNCOUNTED:
                counts[name] = count_flops(CONTENDERS[name](bench))
        own = f"{arguments.architecture}, " if arguments.architecture != "sd15" else ""
        add_results("flops", {f"{own}{latent}x{latent}": counts})


if __name__ == "__main__":
    main()
