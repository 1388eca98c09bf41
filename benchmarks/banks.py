"""A bank of adapters trained in one batch, against as many single adapters one after the other, on toyland's UNet.

python -m benchmarks.banks --size 8 --rounds 9
"""

import argparse
import shlex
import sys
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.measuring import Step, alternate, environment, keep_freed_memory
from benchmarks.results import add_results
from portraitist.adapters import Adapter, Attachment, find_layers, get_method
from portraitist.bases.layers import LAYER_SETS
from portraitist.toyland.config import load_config
from portraitist.toyland.denoiser import build_denoiser
from portraitist.toyland.worlds import toyland_world

METHODS: dict[str, tuple[dict[str, Any], str]] = {
    "lora": ({"rank": 4}, "attention"),
    "lidb": ({"a": 32, "b": 16}, "attention"),
    "krona": ({"out_factor": 4, "in_factor": 16}, "attention"),
    "svdiff": ({}, "unet"),
}


class Bench:
    """Toyland's UNet with random weights, and a batch of one sample for each adapter of a bank."""

    def __init__(self, size: int, channels_last: bool, device: str = "cpu") -> None:
        config = load_config()
        width, channels = config.text_encoder.width, config.autoencoder.latent_channels
        side = toyland_world().resolution >> len(config.autoencoder.channels) - 1
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.unet: nn.Module = build_denoiser(config.denoiser, side, channels, width).eval().to(device)
        self.unet.requires_grad_(False)
        generator = torch.Generator().manual_seed(0)
        self.latents = torch.randn(size, channels, side, side, generator=generator).to(device)
        if channels_last:
            self.unet.to(memory_format=torch.channels_last)
            self.latents = self.latents.to(memory_format=torch.channels_last)
        self.text = torch.randn(size, config.text_encoder.tokens, width, generator=generator).to(device)
        self.timesteps = torch.arange(size, device=device) * 100

    def run(self, samples: slice) -> None:
        """Run forward and backward on some of the samples."""
        latents = self.latents[samples].detach().requires_grad_()
        self.unet(latents, self.timesteps[samples], self.text[samples]).sample.square().mean().backward()

    def step(self, method: str, size: int, together: bool) -> Step:
        """Return a step of all samples: one batch with a bank, or one sample after the other with single adapters."""
        config, layers = METHODS[method]
        components = {"unet": self.unet}
        specs = find_layers(components, LAYER_SETS["sd"][layers])
        specs = [spec for spec in specs if spec.kind in get_method(method).layers]
        generator = torch.Generator().manual_seed(0)
        single = Adapter.create(method, config, specs, generator).to(self.latents.device)
        bank = Adapter(single.space, _stacked(single, size))
        parts = [slice(None)] if together else [slice(index, index + 1) for index in range(size)]
        adapter = bank if together else single
        Attachment(components).attach(adapter).detach()

        def step() -> None:
            attachment = Attachment(components).attach(adapter)
            for part in parts:
                self.run(part)
            attachment.detach()
            for parameter in adapter.named_parameters().values():
                parameter.grad = None

        return step

    def frozen(self, together: bool) -> Step:
        """Return a step of the frozen UNet."""
        parts = [slice(None)] if together else [slice(i, i + 1) for i in range(len(self.latents))]
        return lambda: [self.run(part) for part in parts].clear()


def _stacked(adapter: Adapter, size: int) -> dict[str, dict[str, Tensor]]:
    return {
        layer: {name: nn.Parameter(torch.stack([value.detach()] * size)) for name, value in tensors.items()}
        for layer, tensors in adapter.values.items()
    }


def main() -> None:
    """Run the benchmark from the command line."""
    keep_freed_memory()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS), metavar="NAME")
    arguments = parser.parse_args()
    bench = Bench(arguments.size, arguments.channels_last, arguments.device)
    steps = {("frozen", True): bench.frozen(True), ("frozen", False): bench.frozen(False)}
    for method in arguments.methods:
        steps |= {(method, together): bench.step(method, arguments.size, together) for together in (True, False)}
    measured = alternate({f"{name} {together}": step for (name, together), step in steps.items()}, arguments.rounds)
    facts = {"command": shlex.join(["python", "-m", "benchmarks.banks", *sys.argv[1:]]), **environment()}
    facts |= {"size": arguments.size, "channels_last": arguments.channels_last, "device": arguments.device}
    layout = ", channels last" if arguments.channels_last else ""
    layout += f", {arguments.device}" if arguments.device != "cpu" else ""
    add_results(
        "banks",
        {
            f"{name}, bank of {arguments.size}{layout}": {
                "name": name,
                **facts,
                "together": asdict(measured[f"{name} True"]),
                "one_by_one": asdict(measured[f"{name} False"]),
            }
            for name in ["frozen", *arguments.methods]
        },
    )
    for name in ["frozen", *arguments.methods]:
        a, b = measured[f"{name} True"].median, measured[f"{name} False"].median
        print(name, f"{a:.3f} {b:.3f} {b / a:.2f}x")


if __name__ == "__main__":
    main()
