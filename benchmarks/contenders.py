"""The steps that are compared: one training step of a denoiser with each method, ours and those of other libraries."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from portraitist.adapters import Adapter, Attachment, find_layers, get_method
from portraitist.bases.architectures import build_architecture
from portraitist.bases.families import Family, Framing
from portraitist.bases.skeletons import build_skeleton

FLOOR = "frozen UNet"

Step = Callable[[], None]


class Bench:
    """A denoiser with random weights (cost does not depend on them) and fixed inputs.

    Args:
        latent: Side of the latents.
        device: Where it is.
        dtype: Precision of its weights and inputs.
        architecture: A name of `list_architectures`.
        compiled: Whether every denoiser is compiled.
        checkpointed: Whether activations are computed again in the backward pass.
    """

    def __init__(
        self,
        latent: int,
        device: str,
        dtype: torch.dtype,
        architecture: str = "sd15",
        compiled: bool = False,
        checkpointed: bool = False,
    ) -> None:
        self.architecture, self.compiled, self.checkpointed = architecture, compiled, checkpointed
        # Everything but the denoiser has shapes only: it says what the denoiser is given.
        self.family = build_skeleton(architecture)
        name = self.family.denoiser_name
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.unet = self._ready(build_architecture(architecture, device, dtype, (name,))[name])
        generator = torch.Generator().manual_seed(0)
        channels = self.family.pipeline.vae.config.latent_channels
        self.latents = torch.randn(1, channels, latent, latent, generator=generator).to(device, dtype)
        self.timestep = self.family.draw_timesteps(1, generator).to(device)
        shapes = {name: value.shape for name, value in self.family.encode_prompts(["a cat"]).items()}
        self.prompted = tuple(shapes)
        self.conditions = {
            name: torch.randn(shape, generator=generator).to(device, dtype) for name, shape in shapes.items()
        }
        side = latent * self.family.pipeline.vae_scale_factor
        framing = Framing.whole(side, side)
        self.conditions |= {
            name: value.to(device, dtype) for name, value in self.family.encode_framings([framing]).items()
        }

    def step(self, unet: nn.Module, parameters: list[Tensor]) -> None:
        """Run forward and backward to the input and to the parameters."""
        latents = self.latents.detach().requires_grad_()
        self.around(unet).predict(latents, self.timestep, self.conditions).square().mean().backward()
        for parameter in parameters:
            parameter.grad = None

    def floor(self) -> None:
        """Run the frozen UNet, forward and backward to its input."""
        self.step(self.unet, [])

    def twin(self) -> nn.Module:
        """Return a second denoiser on the same weights, for libraries that change the module tree."""
        name, dtype = self.family.denoiser_name, self.latents.dtype
        other = build_architecture(self.architecture, "meta", dtype, (name,))[name]
        other.load_state_dict(self.unet.state_dict(), assign=True)
        return self._ready(other.requires_grad_(False))

    @cache  # noqa: B019 - lives as long as the bench
    def around(self, unet: nn.Module) -> Family:
        """Return the family with another denoiser in its pipeline."""
        family = copy.copy(self.family)
        family.pipeline = copy.copy(self.family.pipeline)
        setattr(family.pipeline, family.denoiser_name, unet)
        return family

    def _ready(self, unet: nn.Module) -> nn.Module:
        if self.checkpointed:
            unet.enable_gradient_checkpointing()
        if self.compiled:
            unet.compile()
        return unet


@dataclass(frozen=True)
class Ours:
    """One of our methods on a set of layers, attached for the length of a step."""

    method: str
    config: dict[str, Any]
    layers: str = "attention"

    def __call__(self, bench: Bench) -> Step:
        """Return a step."""
        family = bench.family
        components = {family.denoiser_name: bench.twin()}
        every = (f"{family.denoiser_name}.*",)
        specs = find_layers(components, every if self.layers == "all" else family.layer_sets[self.layers])
        specs = [spec for spec in specs if spec.kind in get_method(self.method).layers]
        adapter = Adapter.create(self.method, self.config, specs, torch.Generator().manual_seed(0))
        for tensors in adapter.values.values():
            for name, value in tensors.items():
                tensors[name] = nn.Parameter(value.detach().to(bench.latents.device))
        parameters = list(adapter.named_parameters().values())
        Attachment(components).attach(adapter)  # decompositions are computed or read here
        return lambda: bench.step(components[family.denoiser_name], parameters)


def attention(bench: Bench) -> list[str]:
    """Return the names of the attention projections that our methods adapt."""
    name = bench.family.denoiser_name
    specs = find_layers({name: bench.unet}, bench.family.layer_sets["attention"])
    return [spec.name.removeprefix(f"{name}.") for spec in specs]


def peft_lora(bench: Bench) -> Step:
    """Return a step of PEFT's LoRA on the attention projections."""
    from peft import LoraConfig

    return _peft(bench, LoraConfig(r=4, lora_alpha=4, target_modules=attention(bench)))


def peft_lokr(bench: Bench) -> Step:
    """Return a step of PEFT's LoKr, both factors full, on the attention projections."""
    from peft import LoKrConfig

    names = attention(bench)
    return _peft(bench, LoKrConfig(r=100_000, alpha=100_000, decompose_factor=16, target_modules=names))


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
    name = bench.family.denoiser_name
    for spec in find_layers({name: unet}, [f"{name}.*"]):
        if len(spec.shape) > 1:
            module = unet.get_submodule(spec.name.removeprefix(f"{name}."))
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
    "svdiff, all layers": Ours("svdiff", {}, "all"),
    "PEFT LoRA r=4": peft_lora,
    "PEFT LoKr 16": peft_lokr,
    "LyCORIS LoKr 16": lycoris_lokr,
    "svdiff-pytorch's rule, all layers": rebuilt,
}
# Keeps numbers on the CPU beside its parameters and so does not run on the meta device.
UNCOUNTED = ("LyCORIS LoKr 16",)
