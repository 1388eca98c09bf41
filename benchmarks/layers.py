"""Where the time goes: forward and backward of every kind of layer in the Stable Diffusion 1.5 UNet, alone.

Each shape of weight and input that occurs is timed once and multiplied by how often it occurs: the frozen layer, the
same with spectral shifts, and with the weight rebuilt from U, S and V as svdiff-pytorch does.

    python -m benchmarks.layers --latent 32
"""

import argparse
import math
import shlex
import statistics
import sys
from collections import Counter
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.contenders import Bench, RebuiltWeight
from benchmarks.flops import count_flops
from benchmarks.measuring import Step, alternate, environment, keep_freed_memory
from benchmarks.results import add_results
from portraitist.adapters import Adapter, Attachment, find_layers

# Kind, weight shape, stride, padding, bias, input shape.
Shape = tuple[str, tuple[int, ...], int, int, bool, tuple[int, ...]]


def occurring_shapes(latent: int) -> Counter[Shape]:
    """Count the shapes of linear and convolution layers and of their inputs in one forward pass, on the meta device."""
    bench = Bench(latent, "meta", torch.float32)
    found: Counter[Shape] = Counter()

    def note(module: Any, inputs: tuple[Tensor, ...]) -> None:
        conv = isinstance(module, nn.Conv2d)
        geometry = (module.stride[0], module.padding[0]) if conv else (1, 0)
        shape = tuple(module.weight.shape)
        kind = ("3x3 " if shape[-1] == 3 else "1x1 ") + "convolution" if conv else "linear"
        found[(kind, shape, *geometry, module.bias is not None, tuple(inputs[0].shape))] += 1

    for module in bench.unet.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            module.register_forward_pre_hook(note)
    bench.floor()
    return found


def steps(shape: Shape, device: str) -> dict[str, Step]:
    """Return forward and backward of one layer: frozen, with spectral shifts, rebuilt."""
    _, weight, stride, padding, bias, inputs = shape
    layer = (
        nn.Conv2d(weight[1], weight[0], weight[2], stride, padding, bias=bias, device=device)
        if len(weight) == 4
        else nn.Linear(weight[1], weight[0], bias, device=device)
    ).requires_grad_(False)
    x = torch.zeros(inputs, device=device)
    if device != "meta":
        generator = torch.Generator().manual_seed(0)
        x.normal_(generator=generator)
        layer.weight.normal_(0, math.prod(weight[1:]) ** -0.5, generator=generator)
    x.requires_grad_()
    components = {"m": nn.ModuleDict({"x": layer})}
    adapter = Adapter.create("svdiff", {}, find_layers(components, ["m.x"]), torch.Generator())
    (delta,) = adapter.values["m.x"].values()
    adapter.values["m.x"]["delta"] = nn.Parameter(delta.detach().to(device))
    Attachment(components).attach(adapter).detach()
    rule = RebuiltWeight.like(layer.weight, torch.Generator().manual_seed(0))

    def frozen() -> None:
        y = layer(x)
        y.backward(torch.ones_like(y))
        x.grad = None

    def shifted() -> None:
        attachment = Attachment(components).attach(adapter)
        frozen()
        attachment.detach()

    def rebuilt() -> None:
        y = torch.func.functional_call(layer, {"weight": rule(layer.weight)}, (x,))
        y.backward(torch.ones_like(y))
        x.grad = None

    return {"frozen": frozen, "svdiff": shifted, "rebuilt": rebuilt}


def main() -> None:
    """Run the benchmark from the command line."""
    keep_freed_memory()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--latent", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-rebuilt", action="store_true", help="leave the slow rule out")
    arguments = parser.parse_args()
    facts = {"command": shlex.join(["python", "-m", "benchmarks.layers", *sys.argv[1:]]), **environment()}
    for shape, count in occurring_shapes(arguments.latent).items():
        contenders = steps(shape, "cpu")
        if arguments.no_rebuilt:
            del contenders["rebuilt"]
        measured = alternate(contenders, arguments.rounds)
        kind, weight, stride, _, bias, inputs = shape
        entry: dict[str, Any] = {"kind": kind, "weight": weight, "input": inputs, "count": count, **facts}
        entry["flops"] = {name: count_flops(step) for name, step in steps(shape, "meta").items()}
        for name, times in measured.items():
            entry[name] = statistics.median(times.processor_seconds)
        key = (
            f"{arguments.latent}: {kind} {'x'.join(map(str, weight))} /{stride} {'with' if bias else 'without'} bias"
            f" on {'x'.join(map(str, inputs))}"
        )
        print(key, count, " ".join(f"{name} {1e3 * entry[name]:.1f}" for name in measured), flush=True)
        add_results("layers", {key: entry})


if __name__ == "__main__":
    main()
