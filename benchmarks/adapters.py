"""What an adapter costs: a training step of the Stable Diffusion 1.5 UNet with each method, against the frozen model.

The floor is the forward and backward pass of the frozen UNet to its input. Our methods and the peers (PEFT's LoRA and
LoKr, and the published spectral-shift rule that rebuilds every weight from U, S and V) run in the same process,
alternating. Weights are random: cost does not depend on them.

    python -m benchmarks.adapters --latent 32 --rounds 5
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.measuring import Measured, alternate, environment
from portraitist.adapters import Adapter, Attachment, find_layers, get_method
from portraitist.bases.architectures import build_architecture
from portraitist.bases.families import StableDiffusion

RESULTS = Path("docs/results")

OURS: dict[str, tuple[str, dict[str, Any], str]] = {
    "lora r=4": ("lora", {"rank": 4}, "attention"),
    "lidb 100/50": ("lidb", {}, "attention"),
    "krona (4, 64)": ("krona", {"out_factor": 4, "in_factor": 64}, "attention"),
    "krona (64, 8)": ("krona", {"out_factor": 64, "in_factor": 8}, "attention"),
    "svdiff, attention": ("svdiff", {}, "attention"),
    "svdiff, all layers": ("svdiff", {}, "unet"),
}
FLOOR = "frozen UNet"


class Bench:
    """A UNet with random weights and fixed inputs."""

    def __init__(self, latent: int, device: str, dtype: torch.dtype) -> None:
        torch.manual_seed(0)
        self.unet = build_architecture("sd15", device, dtype, ("unet",))["unet"]
        generator = torch.Generator().manual_seed(0)
        self.latents = torch.randn(1, 4, latent, latent, generator=generator).to(device, dtype)
        self.text = torch.randn(1, 77, 768, generator=generator).to(device, dtype)
        self.timestep = torch.tensor([500], device=device)

    def step(self, unet: nn.Module, parameters: list[Tensor]) -> None:
        """Run forward and backward to the input and to the parameters."""
        latents = self.latents.detach().requires_grad_()
        unet(latents, self.timestep, self.text).sample.square().mean().backward()
        for parameter in parameters:
            parameter.grad = None

    def floor(self) -> None:
        """Run the frozen UNet."""
        self.step(self.unet, [])

    def ours(self, method: str, config: dict[str, Any], layers: str) -> Callable[[], None]:
        """Return a step with one of our adapters, attached for the while only."""
        components = {"unet": self.unet}
        specs = find_layers(components, StableDiffusion.layer_sets[layers])
        specs = [spec for spec in specs if spec.kind in get_method(method).layers]
        adapter = Adapter.create(method, config, specs, torch.Generator().manual_seed(0)).to(self.latents.device)
        parameters = list(adapter.named_parameters().values())
        Attachment(components).attach(adapter).detach()  # spectra are computed or read here

        def step() -> None:
            attachment = Attachment(components).attach(adapter)
            self.step(self.unet, parameters)
            attachment.detach()

        return step

    def twin(self) -> nn.Module:
        """Return a second UNet on the same weights, for libraries that change the module tree."""
        other = build_architecture("sd15", "meta", self.latents.dtype, ("unet",))["unet"]
        other.load_state_dict(self.unet.state_dict(), assign=True)
        return other.requires_grad_(False)


def peft_step(bench: Bench, kind: str) -> Callable[[], None]:
    """Return a step of PEFT's LoRA or LoKr on the attention projections."""
    from peft import LoKrConfig, LoraConfig, inject_adapter_in_model

    targets = ["to_q", "to_k", "to_v", "to_out.0"]
    config = (
        LoraConfig(r=4, lora_alpha=4, target_modules=targets)
        if kind == "lora"
        else LoKrConfig(r=100_000, alpha=100_000, decompose_factor=16, target_modules=targets)
    )
    unet = bench.twin()
    inject_adapter_in_model(config, unet)
    parameters = [parameter for parameter in unet.parameters() if parameter.requires_grad]
    return lambda: bench.step(unet, parameters)


class _Rebuilt(nn.Module):
    """The published rule: ``W = U diag(relu(S + delta)) V^T`` built anew in every forward pass."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        u, s, v = torch.linalg.svd(weight.flatten(1).float(), full_matrices=False)
        self.u, self.s, self.v = u, s, v
        self.shape = weight.shape
        self.delta = nn.Parameter(torch.zeros_like(s))

    def forward(self, weight: Tensor) -> Tensor:
        return (self.u @ torch.diag(torch.relu(self.s + self.delta)) @ self.v).view(self.shape).to(weight.dtype)


def rebuilt_step(bench: Bench, layers: str) -> Callable[[], None]:
    """Return a step in which every matrix is rebuilt from its full decomposition by torch's parametrisation."""
    unet = bench.twin()
    specs = find_layers({"unet": unet}, StableDiffusion.layer_sets[layers])
    for spec in specs:
        if len(spec.shape) > 1:
            module = unet.get_submodule(spec.name.removeprefix("unet."))
            weight = module.get_parameter("weight")
            nn.utils.parametrize.register_parametrization(module, "weight", _Rebuilt(weight), unsafe=True)
    parameters = [p for name, p in unet.named_parameters() if name.endswith("delta")]
    return lambda: bench.step(unet, parameters)


def table(results: dict[str, Measured], facts: dict[str, str]) -> str:
    """Return a Markdown table of the results, relative to the floor."""
    floor = results[FLOOR]
    lines = [
        "| step | median s | x floor | memory above start, MB |",
        "|---|---|---|---|",
        *(
            f"| {name} | {measured.median:.2f} | {measured.median / floor.median:.2f} | {measured.memory / 1e6:.0f} |"
            for name, measured in results.items()
        ),
        "",
        ", ".join(f"{key} {value}" for key, value in facts.items()),
    ]
    return "\n".join(lines)


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--latent", type=int, default=32, help="side of the latents")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--only", nargs="*", default=[], help="names of the steps to run, beside the floor")
    parser.add_argument("--no-peers", action="store_true")
    arguments = parser.parse_args()
    bench = Bench(arguments.latent, arguments.device, getattr(torch, arguments.dtype))
    makers: dict[str, Callable[[], Callable[[], None]]] = {
        name: (lambda setting=setting: bench.ours(*setting)) for name, setting in OURS.items()
    }
    if not arguments.no_peers:
        makers["PEFT lora r=4"] = lambda: peft_step(bench, "lora")
        makers["PEFT lokr 16"] = lambda: peft_step(bench, "lokr")
        makers["rebuilt weights, all layers"] = lambda: rebuilt_step(bench, "unet")
    wanted = {name: make for name, make in makers.items() if not arguments.only or name in arguments.only}
    steps = {FLOOR: bench.floor, **{name: make() for name, make in wanted.items()}}
    results = alternate(steps, arguments.rounds)
    facts = {"latents": f"{arguments.latent}x{arguments.latent}", "dtype": arguments.dtype, **environment()}
    text = table(results, facts)
    print(text)
    RESULTS.mkdir(parents=True, exist_ok=True)
    name = f"adapters-{arguments.device}-{arguments.dtype}-{arguments.latent}"
    content = {"environment": facts, "results": {key: asdict(value) for key, value in results.items()}}
    (RESULTS / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n")
    (RESULTS / f"{name}.md").write_text(text + "\n")


if __name__ == "__main__":
    main()
