"""The steps that are compared: one training step of a UNet with each method, ours and those of other libraries."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from portraitist.adapters import Adapter, Attachment, find_layers, get_method
from portraitist.bases.architectures import build_architecture
from portraitist.bases.layers import LAYER_SETS

FLOOR = "frozen UNet"
ATTENTION = ["to_q", "to_k", "to_v", "to_out.0"]

Step = Callable[[], None]


class Bench:
    """A UNet with random weights (cost does not depend on them) and fixed inputs."""

    def __init__(self, latent: int, device: str, dtype: torch.dtype, architecture: str = "sd15") -> None:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.unet = build_architecture(architecture, device, dtype, ("unet",))["unet"]
        self.architecture = architecture
        generator = torch.Generator().manual_seed(0)
        self.latents = torch.randn(1, 4, latent, latent, generator=generator).to(device, dtype)
        width = self.unet.config.cross_attention_dim
        self.text = torch.randn(1, 77, width, generator=generator).to(device, dtype)
        self.timestep = torch.tensor([500], device=device)

    def step(self, unet: nn.Module, parameters: list[Tensor]) -> None:
        """Run forward and backward to the input and to the parameters."""
        latents = self.latents.detach().requires_grad_()
        unet(latents, self.timestep, self.text).sample.square().mean().backward()
        for parameter in parameters:
            parameter.grad = None

    def floor(self) -> None:
        """Run the frozen UNet, forward and backward to its input."""
        self.step(self.unet, [])

    def twin(self) -> nn.Module:
        """Return a second UNet on the same weights, for libraries that change the module tree."""
        other = build_architecture(self.architecture, "meta", self.latents.dtype, ("unet",))["unet"]
        other.load_state_dict(self.unet.state_dict(), assign=True)
        return other.requires_grad_(False)


@dataclass(frozen=True)
class Ours:
    """One of our methods on a set of layers, attached for the length of a step."""

    method: str
    config: dict[str, Any]
    layers: str = "attention"

    def __call__(self, bench: Bench) -> Step:
        """Return a step."""
        components = {"unet": bench.unet}
        specs = find_layers(components, LAYER_SETS["sd"][self.layers])
        specs = [spec for spec in specs if spec.kind in get_method(self.method).layers]
        adapter = Adapter.create(self.method, self.config, specs, torch.Generator().manual_seed(0))
        for tensors in adapter.values.values():
            for name, value in tensors.items():
                tensors[name] = nn.Parameter(value.detach().to(bench.latents.device))
        parameters = list(adapter.named_parameters().values())
        Attachment(components).attach(adapter).detach()  # decompositions are computed or read here

        def step() -> None:
            attachment = Attachment(components).attach(adapter)
            bench.step(bench.unet, parameters)
            attachment.detach()

        return step


def peft_lora(bench: Bench) -> Step:
    """Return a step of PEFT's LoRA on the attention projections."""
    from peft import LoraConfig

    return _peft(bench, LoraConfig(r=4, lora_alpha=4, target_modules=ATTENTION))


def peft_lokr(bench: Bench) -> Step:
    """Return a step of PEFT's LoKr, both factors full, on the attention projections."""
    from peft import LoKrConfig

    return _peft(bench, LoKrConfig(r=100_000, alpha=100_000, decompose_factor=16, target_modules=ATTENTION))


def _peft(bench: Bench, config: Any) -> Step:
    from peft import inject_adapter_in_model

    unet = bench.twin()
    inject_adapter_in_model(config, unet, low_cpu_mem_usage=bench.latents.is_meta)
    parameters = [parameter for parameter in unet.parameters() if parameter.requires_grad]
    return lambda: bench.step(unet, parameters)


def lycoris_lokr(bench: Bench) -> Step:
    """Return a step of lycoris-lora's LoKr, both factors full, on the attention projections."""
    from lycoris import LycorisNetwork, create_lycoris

    unet = bench.twin()
    LycorisNetwork.apply_preset({"target_module": ["Attention"]})
    network = create_lycoris(unet, 1.0, linear_dim=100_000, linear_alpha=1, algo="lokr", factor=16)
    network.to(bench.latents.device, bench.latents.dtype).apply_to()
    parameters = list(network.parameters())

    def step() -> None:
        bench.step(unet, parameters)

    step.network = network  # type: ignore[attr-defined] # its modules are reached through hooks only
    return step


class RebuiltWeight(nn.Module):
    """The rule of svdiff-pytorch: ``W = U diag(relu(S + delta)) V^T``, built anew in every forward pass."""

    def __init__(self, u: Tensor, s: Tensor, vt: Tensor, shape: torch.Size) -> None:
        super().__init__()
        self.u, self.s, self.vt, self.shape = u, s, vt, shape
        self.delta = nn.Parameter(torch.zeros_like(s))

    @classmethod
    def of(cls, weight: Tensor) -> "RebuiltWeight":
        """Decompose a weight."""
        return cls(*torch.linalg.svd(weight.flatten(1).float(), full_matrices=False), weight.shape)

    @classmethod
    def like(cls, weight: Tensor, generator: torch.Generator) -> "RebuiltWeight":
        """Make factors of the right shapes and sizes; cost does not depend on their values."""
        rows, columns = weight.flatten(1).shape
        rank, device = min(rows, columns), weight.device
        u, vt = torch.empty(rows, rank, device=device), torch.empty(rank, columns, device=device)
        if not weight.is_meta:
            for factor in (u, vt):
                factor.uniform_(-1, 1, generator=generator).div_(max(factor.shape) ** 0.5)
        return cls(u, torch.ones(rank, device=device), vt, weight.shape)

    def forward(self, weight: Tensor) -> Tensor:
        """Return the weight; the frozen one is not looked at."""
        return (self.u @ torch.diag(torch.relu(self.s + self.delta)) @ self.vt).view(self.shape).to(weight.dtype)


def rebuilt(bench: Bench) -> Step:
    """Return a step in which every matrix is rebuilt from its full decomposition."""
    unet = bench.twin()
    generator = torch.Generator().manual_seed(0)
    for spec in find_layers({"unet": unet}, ["unet.*"]):
        if len(spec.shape) > 1:
            module = unet.get_submodule(spec.name.removeprefix("unet."))
            rule = RebuiltWeight.like(module.get_parameter("weight"), generator)
            nn.utils.parametrize.register_parametrization(module, "weight", rule, unsafe=True)
    parameters = [parameter for name, parameter in unet.named_parameters() if name.endswith("delta")]
    return lambda: bench.step(unet, parameters)


CONTENDERS: dict[str, Callable[[Bench], Step]] = {
    "lora r=4": Ours("lora", {"rank": 4}),
    "lidb 100/50": Ours("lidb", {}),
    "krona (4, 64)": Ours("krona", {"out_factor": 4, "in_factor": 64}),
    "krona (64, 8)": Ours("krona", {"out_factor": 64, "in_factor": 8}),
    "svdiff, attention": Ours("svdiff", {}),
    "svdiff, all layers": Ours("svdiff", {}, "unet"),
    "PEFT LoRA r=4": peft_lora,
    "PEFT LoKr 16": peft_lokr,
    "LyCORIS LoKr 16": lycoris_lokr,
    "svdiff-pytorch's rule, all layers": rebuilt,
}
# Keeps numbers on the CPU beside its parameters and so does not run on the meta device.
UNCOUNTED = ("LyCORIS LoKr 16",)
