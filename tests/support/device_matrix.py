"""Every method in every precision, for tests that compare a device with the CPU."""

import pytest
import torch
from torch import Tensor, nn

from portraitist.adapters import Adapter, find_layers, list_methods
from portraitist.bases import Base

CONFIGS: dict[str, dict[str, object]] = {
    "lora": {"rank": 4},
    "krona": {"out_factor": 8, "in_factor": 8},
    "lidb": {"a": 16, "b": 8, "rank": 2},
    "svdiff": {},
    "dora": {"rank": 4},
    "loha": {"rank": 4},
    "full": {},
}
LAYERS = {"textual-inversion": ("text_encoder.*token_embedding",)}
ATTENTION = ("unet.*attn*.to_*", "text_encoder.*_proj")
# Size of the random numbers of an adapter, so that it changes predictions by a tenth and more.
SIZES = {"lora": 0.15, "lidb": 0.5, "svdiff": 0.5, "full": 0.03}
METHODS = [method.name for method in list_methods()]
# How far outputs of a precision may be from the CPU's in float32, as a share of the largest.
BOUNDS = {torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 6e-2}
PRECISIONS = [pytest.param(dtype, id=str(dtype).removeprefix("torch.")) for dtype in BOUNDS]


def draw(base: Base, method: str, seed: int = 3) -> Adapter:
    """Make an adapter of a base, on the CPU, its every parameter random."""
    config = CONFIGS[method] if method in CONFIGS else {"token_ids": base.family.token_ids("photo sks cat")}
    generator = torch.Generator().manual_seed(seed)
    adapter = Adapter.create(method, config, find_layers(base.components, LAYERS.get(method, ATTENTION)), generator)
    for tensors in adapter.values.values():
        for key, value in tensors.items():
            tensors[key] = nn.Parameter(
                SIZES.get(method, 0.3) * torch.randn(value.shape, generator=generator), requires_grad=False
            )
    return adapter


@torch.no_grad()
def outputs(base: Base, rows: int = 2) -> Tensor:
    """Run text encoder and denoiser on the same prompts and noise whatever the device; on the CPU, in float32."""
    family = base.family
    conditions = family.encode_prompts([f"a photo of a sks cat number {row}" for row in range(rows)])
    latents = torch.randn(rows, 4, 8, 8, generator=torch.Generator().manual_seed(5))
    timesteps = torch.linspace(10, 700, rows).long()
    noised = latents.to(base.device, family.dtype)
    return family.predict(noised, timesteps.to(base.device), conditions).float().cpu()


def moved(adapter: Adapter, device: str) -> Adapter:
    """Return an adapter's copy on a device."""
    values = {
        layer: {key: value.detach().to(device) for key, value in tensors.items()}
        for layer, tensors in adapter.values.items()
    }
    return Adapter(adapter.space, values, adapter.provenance)


def require_close(found: Tensor, wanted: Tensor, bound: float, frozen: Tensor | None = None) -> None:
    """Require two outputs to differ by no more than a share of the largest number.

    Nor by more than a third of what separates them from the frozen base's, where those are given.
    """
    torch.testing.assert_close(found, wanted, rtol=0, atol=bound * float(wanted.abs().max()))
    if frozen is not None:
        assert (found - wanted).norm() < (wanted - frozen).norm() / 3
