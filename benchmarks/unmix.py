"""What the Unmix loss adds to a training step on collages.

Forward and backward of the denoiser with spectral shifts or LoRA, every sample a collage, with the loss and without:
toyland with its weights, Stable Diffusion 1.5 with random ones.

    python -m benchmarks.unmix --bases toyland sd15
"""

import argparse
import shlex
import sys
from dataclasses import asdict
from typing import Any

import torch

from benchmarks.measuring import Step, alternate, environment, keep_freed_memory
from benchmarks.results import add_results
from portraitist.adapters import Attachment
from portraitist.bases import Base, load_base
from portraitist.bases.families import Framing
from portraitist.bases.skeletons import build_skeleton
from portraitist.training.blank_adapters import blank_adapter
from portraitist.training.denoising import denoising_errors
from portraitist.training.multi_subject.unmix import USUAL_WEIGHT, MixedSample, UnmixLoss
from portraitist.training.recipes import load_recipe

# Latents of a sample, and samples of a step.
_BASES = {"toyland": ((8, 16, 16), 4), "sd15": ((4, 32, 32), 1)}
# Where the two subjects' words stand in "a photo of a sks cat on the left and a olo robot on the right".
_WORDS = ((5,), (12,))


def build(name: str) -> Base:
    """Load a base; of a published architecture only the sizes are known, so its weights are random."""
    if name == "toyland":
        return load_base(name)
    base = Base(name, build_skeleton(name, device="cpu"))
    for module in base.components.values():
        for parameter in module.parameters():
            parameter.data.normal_(0, 0.02)
    return base


def steps(base: Base, method: str) -> dict[str, Step]:
    """Return a step without the loss and one with it, on one adapter and the same draws."""
    size, count = _BASES[base.name]
    recipe = load_recipe(method, base.name, base.family.name, overrides={"layers": "unet"})
    adapter = blank_adapter(base, recipe, recipe.method_config)
    for parameter in adapter.named_parameters().values():
        parameter.requires_grad_()
    Attachment(base.components).attach(adapter)
    latents = torch.randn(count, *size, generator=torch.Generator().manual_seed(0))
    framings = [Framing.whole(base.family.resolution, base.family.resolution)] * count
    with torch.no_grad():
        conditions = base.family.encode_prompts(["a"] * count)
    unmix = UnmixLoss(base, size)
    samples = [MixedSample(row, _WORDS) for row in range(count)]

    def step(watched: bool) -> None:
        with unmix.watch(samples if watched else ()) as loss:
            errors = denoising_errors(base, recipe, latents, framings, conditions, torch.Generator().manual_seed(0))
        (errors.mean() + USUAL_WEIGHT * loss()).backward()
        for parameter in adapter.named_parameters().values():
            parameter.grad = None

    return {"without": lambda: step(False), "with": lambda: step(True)}


def main() -> None:
    """Run the benchmark from the command line."""
    keep_freed_memory()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bases", nargs="+", default=list(_BASES), choices=list(_BASES))
    parser.add_argument("--methods", nargs="+", default=["svdiff", "lora"])
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    facts: dict[str, Any] = {
        "command": shlex.join(["python", "-m", "benchmarks.unmix", *sys.argv[1:]]),
        **environment(),
    }
    for name in arguments.bases:
        for method in arguments.methods:
            measured = alternate(steps(build(name), method), arguments.rounds)
            ratio = measured["with"].median / measured["without"].median
            print(f"{name}, {method}: {measured['without'].median:.3f} s, x {ratio:.3f}", flush=True)
            entry = {"base": name, "method": method, "samples": _BASES[name][1], **facts}
            entry |= {key: asdict(value) for key, value in measured.items()}
            add_results("unmix", {f"{name}, {method}": entry})


if __name__ == "__main__":
    main()
