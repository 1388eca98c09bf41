"""LoRA for FLUX.1 in the original layout: against diffusers' converters, and through a stock pipeline."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import FluxPipeline, FluxTransformer2DModel
from diffusers.loaders.lora_conversion_utils import (
    _convert_kohya_flux_lora_to_diffusers,
    _convert_xlabs_flux_lora_to_diffusers,
)
from safetensors.torch import load_file, save_file
from tiny_models import build_tiny
from torch import Tensor, nn
from transformers import CLIPTokenizer

from portraitist.adapters import Adapter, Attachment, Space, attached
from portraitist.adapters.spec import Kind, LayerSpec
from portraitist.errors import BadFile
from portraitist.exchange.exporting import export
from portraitist.exchange.formats import detect
from portraitist.exchange.loading import load_any

WIDTH = 3072  # the only one that diffusers' converter knows
SHAPES = {
    "double_blocks_0_img_attn_qkv": (3 * WIDTH, WIDTH),
    "double_blocks_0_txt_attn_qkv": (3 * WIDTH, WIDTH),
    "double_blocks_1_img_attn_proj": (WIDTH, WIDTH),
    "double_blocks_18_txt_attn_proj": (WIDTH, WIDTH),
    "double_blocks_0_img_mlp_0": (4 * WIDTH, WIDTH),
    "double_blocks_0_txt_mlp_2": (WIDTH, 4 * WIDTH),
    "double_blocks_0_img_mod_lin": (6 * WIDTH, WIDTH),
    "single_blocks_37_linear1": (7 * WIDTH, WIDTH),
    "single_blocks_0_linear2": (WIDTH, 5 * WIDTH),
    "single_blocks_0_modulation_lin": (3 * WIDTH, WIDTH),
    "final_layer_adaLN_modulation_1": (2 * WIDTH, WIDTH),
    "final_layer_linear": (64, WIDTH),
    "img_in": (WIDTH, 64),
    "guidance_in_out_layer": (WIDTH, WIDTH),
}
# One of each kind; of qkv and linear1 not all parts.
LAYERS = {
    "transformer.transformer_blocks.0.attn.to_q": (WIDTH, WIDTH),
    "transformer.transformer_blocks.0.attn.to_v": (WIDTH, WIDTH),
    "transformer.single_transformer_blocks.3.attn.to_q": (WIDTH, WIDTH),
    "transformer.single_transformer_blocks.3.attn.to_k": (WIDTH, WIDTH),
    "transformer.single_transformer_blocks.3.attn.to_v": (WIDTH, WIDTH),
    "transformer.single_transformer_blocks.4.proj_mlp": (4 * WIDTH, WIDTH),
    "transformer.single_transformer_blocks.4.proj_out": (WIDTH, 5 * WIDTH),
    "transformer.norm_out.linear": (2 * WIDTH, WIDTH),
}

Draw = Callable[..., Adapter]


def draw_kohya(rank: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    tensors = {}
    for name, (rows, columns) in SHAPES.items():
        tensors[f"lora_unet_{name}.lora_down.weight"] = torch.randn(rank, columns, generator=generator)
        tensors[f"lora_unet_{name}.lora_up.weight"] = torch.randn(rows, rank, generator=generator)
        # diffusers' converter has no strength for the last layers.
        tensors[f"lora_unet_{name}.alpha"] = torch.tensor(float(rank) if "final" in name else 2.5)
    return tensors


def require_same(adapter: Adapter, converted: dict[str, Tensor]) -> None:
    """Compare what an adapter and diffusers' tensors make of the same inputs."""
    generator = torch.Generator().manual_seed(1)
    theirs = {key.removeprefix("transformer.").removesuffix(".lora_A.weight") for key in converted if "lora_A" in key}
    assert {name.removeprefix("transformer.") for name in adapter.layers} == theirs
    for name, layer in adapter.layers.items():
        x = torch.randn(2, layer.spec.in_features, generator=generator)
        path = name.removeprefix("transformer.")
        prefix = name if f"{name}.lora_A.weight" in converted else path
        expected = x @ converted[f"{prefix}.lora_A.weight"].T @ converted[f"{prefix}.lora_B.weight"].T
        low = layer.low_rank(adapter.values[name], None)
        torch.testing.assert_close(x @ low.down.T @ low.up.T, expected, atol=1e-5 * float(expected.abs().max()), rtol=0)


def test_files_of_sd_scripts_are_split(tmp_path: Path) -> None:
    tensors = draw_kohya(rank=3)
    save_file(tensors, tmp_path / "lora.safetensors")
    assert detect(tmp_path / "lora.safetensors").name == "kohya"
    adapter = load_any(tmp_path / "lora.safetensors")
    require_same(adapter, _convert_kohya_flux_lora_to_diffusers(dict(tensors)))


def draw_dora(transformer: nn.Module) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the tensors of a DoRA of joint matrices, and what it makes of the weights by diffusers' names."""
    generator = torch.Generator().manual_seed(3)
    double, single = "transformer_blocks.0", "single_transformer_blocks.0"
    joint = {
        "double_blocks_0_img_attn_qkv": [f"{double}.attn.to_{each}" for each in "qkv"],
        "single_blocks_0_linear1": [*(f"{single}.attn.to_{each}" for each in "qkv"), f"{single}.proj_mlp"],
    }
    tensors, expected = {}, {}
    for name, modules in joint.items():
        weights = [transformer.get_submodule(module).weight.detach() for module in modules]
        weight = torch.cat(weights)
        up = torch.randn(len(weight), 3, generator=generator)
        down = torch.randn(3, weight.shape[1], generator=generator)
        magnitudes = torch.rand(len(weight), 1, generator=generator) + 0.5
        parts = {"lora_up.weight": up, "lora_down.weight": down, "dora_scale": magnitudes, "alpha": torch.tensor(1.5)}
        tensors |= {f"lora_unet_{name}.{key}": value for key, value in parts.items()}
        changed = weight + 0.5 * up @ down
        changed = magnitudes * changed / changed.norm(dim=1, keepdim=True)
        expected |= dict(zip(modules, changed.split([len(each) for each in weights]), strict=True))
    return tensors, expected


def test_a_dora_of_joint_matrices_is_split(clip_tokenizer: CLIPTokenizer, tmp_path: Path) -> None:
    transformer = build_tiny("flux", clip_tokenizer).transformer
    tensors, expected = draw_dora(transformer)
    save_file(tensors, tmp_path / "dora.safetensors")
    adapter = load_any(tmp_path / "dora.safetensors", {"transformer": transformer})
    assert adapter.method.name == "dora"
    Attachment({"transformer": transformer}).attach(adapter).merge()
    for name, weight in expected.items():
        torch.testing.assert_close(transformer.get_submodule(name).weight, weight)
    key = "lora_unet_single_blocks_0_linear1.dora_scale"
    columns = tensors["lora_unet_single_blocks_0_linear1.lora_down.weight"][:1].abs()
    save_file({**tensors, key: columns}, tmp_path / "columns.safetensors")
    with pytest.raises(BadFile, match="magnitudes of columns, which cannot be split"):
        load_any(tmp_path / "columns.safetensors", {"transformer": transformer})


@pytest.mark.parametrize("shared", [False, True])
def test_diffusers_splits_what_we_write(tmp_path: Path, shared: bool) -> None:
    specs = [LayerSpec(name, Kind.LINEAR, shape) for name, shape in LAYERS.items()]
    space = Space.of("lora", {"rank": 2, "alpha": None if shared else 3.0}, specs)
    generator = torch.Generator().manual_seed(2)
    values = {
        name: {key: torch.randn(shape, generator=generator) for key, shape in shapes.items()}
        for name, shapes in space.shapes.items()
    }
    if shared:
        for name in ("to_k", "to_v"):
            query = values["transformer.single_transformer_blocks.3.attn.to_q"]
            values[f"transformer.single_transformer_blocks.3.attn.{name}"]["down"] = query["down"]
    else:  # see `draw_kohya`
        del values["transformer.norm_out.linear"]
        space = space.only(values)
    adapter = Adapter(space, values)
    assert export(adapter, tmp_path / "lora.safetensors", "kohya").exact
    written = load_file(tmp_path / "lora.safetensors")
    assert written["lora_unet_single_blocks_3_linear1.lora_down.weight"].shape[0] == (2 if shared else 6)
    converted = _convert_kohya_flux_lora_to_diffusers(dict(written))
    zeros = {key.rpartition(".lora_")[0] for key, value in converted.items() if "lora_B" in key and not value.any()}
    require_same(adapter, {key: value for key, value in converted.items() if key.rpartition(".lora_")[0] not in zeros})
    again = load_any(tmp_path / "lora.safetensors")
    assert again.config == adapter.config
    assert all(value.equal(again.values[name][key]) for name, part in values.items() for key, value in part.items())


@pytest.mark.parametrize("prefix", ["", "diffusion_model."])
def test_files_of_xlabs(tmp_path: Path, prefix: str) -> None:
    generator, tensors = torch.Generator().manual_seed(3), {}
    for name, (rows, columns) in {
        "double_blocks.0.processor.qkv_lora1": (3 * WIDTH, WIDTH),
        "double_blocks.0.processor.proj_lora1": (WIDTH, WIDTH),
        "double_blocks.2.processor.qkv_lora2": (3 * WIDTH, WIDTH),
        "double_blocks.2.processor.proj_lora2": (WIDTH, WIDTH),
        "single_blocks.5.processor.qkv_lora": (3 * WIDTH, WIDTH),
        "single_blocks.5.processor.proj_lora": (WIDTH, 5 * WIDTH),
    }.items():
        tensors[f"{prefix}{name}.down.weight"] = torch.randn(4, columns, generator=generator)
        tensors[f"{prefix}{name}.up.weight"] = torch.randn(rows, 4, generator=generator)
    save_file(tensors, tmp_path / "lora.safetensors")
    assert detect(tmp_path / "lora.safetensors").name == "xlabs"
    require_same(load_any(tmp_path / "lora.safetensors"), _convert_xlabs_flux_lora_to_diffusers(dict(tensors)))


@pytest.mark.parametrize("prefix", ["diffusion_model", "transformer", "model.diffusion_model"])
def test_dotted_names(tmp_path: Path, prefix: str) -> None:
    generator = torch.Generator().manual_seed(4)
    down, up = torch.randn(2, 8, generator=generator), torch.randn(56, 2, generator=generator)
    names = (
        f"{prefix}.single_blocks.0.linear1",
        "text_encoders.clip_l.transformer.text_model.encoder.layers.0.mlp.fc1",
        "text_encoders.t5xxl.transformer.encoder.block.0.layer.0.SelfAttention.q",
    )
    sides = (("A", down), ("B", up))
    save_file(
        {f"{name}.lora_{side}.weight": value.clone() for name in names for side, value in sides},
        tmp_path / "lora.safetensors",
    )
    adapter = load_any(tmp_path / "lora.safetensors")
    assert "text_encoder.encoder.layers.0.mlp.fc1" in adapter.layers
    assert "text_encoder_2.encoder.block.0.layer.0.SelfAttention.q" in adapter.layers
    parts = ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp")
    rows = [
        adapter.layers[layer].delta_weight(adapter.values[layer])
        for layer in (f"transformer.single_transformer_blocks.0.{part}" for part in parts)
    ]
    torch.testing.assert_close(torch.cat(rows), up @ down)


def predict(transformer: nn.Module) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        return transformer(
            hidden_states=torch.randn(1, 16, 16, generator=generator),
            encoder_hidden_states=torch.randn(1, 8, 32, generator=generator),
            pooled_projections=torch.randn(1, 32, generator=generator),
            timestep=torch.tensor([0.5]),
            guidance=torch.tensor([1.0]),
            img_ids=torch.zeros(16, 3),
            txt_ids=torch.zeros(8, 3),
        ).sample


def test_a_stock_pipeline_predicts_the_same(clip_tokenizer: CLIPTokenizer, draw_adapter: Draw, tmp_path: Path) -> None:
    pipeline: FluxPipeline = build_tiny("flux", clip_tokenizer)
    # diffusers splits the first projection of single blocks by the published width.
    patterns = ("linear:transformer.transformer_blocks.*", "transformer.single_transformer_blocks.*.proj_out")
    adapter = draw_adapter({"transformer": pipeline.transformer}, "lora", patterns, 0.5, rank=3, alpha=2.0)
    frozen = predict(pipeline.transformer)
    with attached({"transformer": pipeline.transformer}, adapter):
        expected = predict(pipeline.transformer)
    assert (expected - frozen).abs().max() > 1e-3 * frozen.abs().max()
    export(adapter, tmp_path / "lora.safetensors", "kohya")
    pipeline.load_lora_weights(str(tmp_path), weight_name="lora.safetensors")
    assert (predict(pipeline.transformer) - expected).abs().max() < 1e-5 * expected.abs().max()


def test_with_a_base_every_matrix_comes_back(clip_tokenizer: CLIPTokenizer, draw_adapter: Draw, tmp_path: Path) -> None:
    transformer: FluxTransformer2DModel = build_tiny("flux", clip_tokenizer).transformer
    adapter = draw_adapter({"transformer": transformer}, "lora", ("linear:transformer.*",), rank=2)
    export(adapter, tmp_path / "lora.safetensors", "comfyui")
    for components in (None, {"transformer": transformer}):
        again = load_any(tmp_path / "lora.safetensors", components)
        for name, params in adapter.values.items():
            expected = adapter.layers[name].delta_weight(params)
            torch.testing.assert_close(again.layers[name].delta_weight(again.values[name]), expected)
        assert again.layers.keys() == adapter.layers.keys()


def test_what_cannot_be_split_is_named(tmp_path: Path) -> None:
    name = "lora_unet_single_blocks_0_linear1"
    down, up = torch.ones(2, 8), torch.ones(24, 2)
    save_file({f"{name}.lora_down.weight": down, f"{name}.lora_up.weight": up}, tmp_path / "short.safetensors")
    with pytest.raises(BadFile, match="linear1 has 24 rows and 8 columns, which no such layer"):
        load_any(tmp_path / "short.safetensors")
    save_file({f"{name}.lokr_w1": torch.ones(7, 2), f"{name}.lokr_w2": torch.ones(8, 4)}, tmp_path / "lokr.safetensors")
    with pytest.raises(BadFile, match="several layers of diffusers' in one"):
        load_any(tmp_path / "lokr.safetensors")
