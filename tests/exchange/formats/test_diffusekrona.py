"""Files of the published DiffuseKronA code against its own forward pass."""

from pathlib import Path

import pytest
import torch
from comparing import TinyPipeline, outputs
from safetensors.torch import save_file
from torch import Tensor, nn

from portraitist.errors import BadConfig, BadFile
from portraitist.exchange.exporting import export
from portraitist.exchange.formats import detect
from portraitist.exchange.loading import load_any

A1, A2 = 4, 16


def published_forward(x: Tensor, down: Tensor, up: Tensor) -> Tensor:
    """Return the change of the output for ``x [samples, tokens, in]``, by the reshapes of the published layer."""
    (a2, a1), (b1, b2) = down.shape, up.shape
    blocks = x.reshape(-1, b2, a2).reshape(-1, a2, b2).transpose(1, 2)
    return (up @ (blocks @ down)).reshape(*x.shape[:2], a1 * b1)


@pytest.fixture
def tensors(tiny: TinyPipeline) -> dict[str, Tensor]:
    """Return what the published code would write for this UNet's attention."""
    generator = torch.Generator().manual_seed(4)
    tensors = {}
    for name, module in tiny.components["unet"].named_modules():
        if name.endswith(("to_q", "to_k", "to_v", "to_out.0")):
            parent, _, projection = name.removesuffix(".0").rpartition(".")
            key = f"unet.{parent}.processor.{projection}_lora"
            b1, b2 = module.out_features // A1, module.in_features // A2
            tensors[f"{key}.down.weight"] = 0.3 * torch.randn(A2, A1, generator=generator)
            tensors[f"{key}.up.weight"] = 0.3 * torch.randn(b1, b2, generator=generator)
    return tensors


@pytest.mark.parametrize("known", [True, False], ids=["base", "no-base"])
@pytest.mark.parametrize("scale", [1.0, 0.6])
def test_the_published_forward_pass(
    tiny: TinyPipeline, tensors: dict[str, Tensor], tmp_path: Path, known: bool, scale: float
) -> None:
    path = tmp_path / "pytorch_lora_weights.safetensors"
    save_file(tensors, path)
    assert detect(path).name == "diffusekrona"
    adapter = load_any(path, tiny.components if known else None)
    assert adapter.method.name == "lora"
    assert adapter.config.rank == A1 * 64 // A2
    pipeline = tiny.load()
    for key, down in tensors.items():
        if ".down." not in key:
            continue
        name = key.removeprefix("unet.").removesuffix("_lora.down.weight").replace(".processor.", ".")
        module = pipeline.unet.get_submodule(f"{name}.0" if name.endswith("to_out") else name)
        up = tensors[key.replace(".down.", ".up.")]

        def hook(_: nn.Module, inputs: tuple[Tensor], y: Tensor, down: Tensor = down, up: Tensor = up) -> Tensor:
            return y + scale * published_forward(inputs[0], down, up)

        module.register_forward_hook(hook)
    tiny.require_same(tiny.adapted(adapter, scale), outputs(pipeline.unet, pipeline.text_encoder))


def test_it_is_only_read(tensors: dict[str, Tensor], tmp_path: Path) -> None:
    save_file(tensors, tmp_path / "krona.safetensors")
    with pytest.raises(BadConfig, match="can only be read, not written; choose portraitist, diffusers, peft, kohya"):
        export(load_any(tmp_path / "krona.safetensors"), tmp_path / "other.safetensors", "diffusekrona")


def test_a_layer_of_another_size(tiny: TinyPipeline, tensors: dict[str, Tensor], tmp_path: Path) -> None:
    key = next(key for key in tensors if key.endswith("up.weight"))
    save_file({**tensors, key: torch.ones(8, 8)}, tmp_path / "krona.safetensors")
    with pytest.raises(BadFile, match=r"changes a weight of shape \(32, 128\) at .* in this base"):
        load_any(tmp_path / "krona.safetensors", tiny.components)


def test_factors_with_a_product_too_large(tmp_path: Path) -> None:
    name = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.processor.to_q_lora"
    save_file(
        {f"{name}.down.weight": torch.ones(1000, 1000), f"{name}.up.weight": torch.ones(1001, 1001)},
        tmp_path / "krona.safetensors",
    )
    with pytest.raises(BadFile, match="more than any layer has"):
        load_any(tmp_path / "krona.safetensors")
