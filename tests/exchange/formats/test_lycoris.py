"""Kronecker factors through the lycoris package, both ways."""

from pathlib import Path
from typing import Any

import pytest
import torch
from comparing import TinyPipeline, outputs
from lycoris import LycorisNetwork, create_lycoris, create_lycoris_from_weights
from lycoris.functional import factorization
from safetensors.torch import load_file, save_file

from portraitist.adapters import find_layers
from portraitist.errors import BadConfig, BadFile, MissingBase
from portraitist.exchange.exporting import export
from portraitist.exchange.formats import detect
from portraitist.exchange.loading import load_any

FACTOR = 4


@pytest.fixture
def balanced(tiny: TinyPipeline) -> tuple[tuple[str, int, int], ...]:
    """Return the factors that lycoris itself would take for each layer of the UNet."""
    specs = find_layers(tiny.components, ("linear:unet.*", "conv:unet.*"))
    return tuple(
        (spec.name, factorization(spec.shape[0], FACTOR)[0], factorization(spec.shape[1], FACTOR)[0]) for spec in specs
    )


@pytest.mark.parametrize("scale", [1.0, 0.6])
def test_lycoris_reads_ours(
    tiny: TinyPipeline,
    balanced: tuple[tuple[str, int, int], ...],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    scale: float,
) -> None:
    adapter = tiny.draw("krona", ("linear:unet.*", "conv:unet.*"), size=0.2, factors=balanced, scale=0.7)
    assert export(adapter, tmp_path / "lokr.safetensors", "lokr").exact
    monkeypatch.setattr(LycorisNetwork, "LORA_PREFIX", "lora_unet")
    pipeline = tiny.load()
    network, _ = create_lycoris_from_weights(scale, str(tmp_path / "lokr.safetensors"), pipeline.unet)
    network.apply_to()
    tiny.require_same(tiny.adapted(adapter, scale), outputs(pipeline.unet, pipeline.text_encoder))


SETTINGS = {
    "whole": {"full_matrix": True, "linear_alpha": 7},
    "products": {"linear_dim": 2, "linear_alpha": 3, "conv_dim": 3, "conv_alpha": 2},
    "all-products": {"linear_dim": 1, "linear_alpha": 0.5, "conv_dim": 1, "conv_alpha": 2, "decompose_both": True},
    "unbalanced": {"linear_dim": 2, "linear_alpha": 1, "unbalanced_factorization": True},
}


@pytest.mark.parametrize("known", [True, False], ids=["base", "no-base"])
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_we_read_what_lycoris_saves(tiny: TinyPipeline, tmp_path: Path, settings: dict[str, Any], known: bool) -> None:
    pipeline = tiny.load()
    network = create_lycoris(pipeline.unet, algo="lokr", factor=FACTOR, **settings)
    network.apply_to()
    generator = torch.Generator().manual_seed(1)
    for value in network.parameters():
        value.data = 0.3 * torch.randn(value.shape, generator=generator)
    network.save_weights(str(tmp_path / "lokr.safetensors"), None, {})
    assert detect(tmp_path / "lokr.safetensors").name == "lokr"
    if not known and settings is not SETTINGS["whole"]:
        with pytest.raises(MissingBase, match="proj_in is a convolution can only be told with the base"):
            load_any(tmp_path / "lokr.safetensors")
        return
    adapter = load_any(tmp_path / "lokr.safetensors", tiny.components if known else None)
    assert adapter.method.name == "krona"
    tiny.require_same(tiny.adapted(adapter), outputs(pipeline.unet, pipeline.text_encoder))


def test_a_tucker_core(tiny: TinyPipeline, tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    name, layer = "lora_unet_mid_block_resnets_0_conv1", "unet.mid_block.resnets.0.conv1"
    shapes = {"lokr_w1": (4, 4), "lokr_t2": (3, 3, 3, 3), "lokr_w2_a": (3, 16), "lokr_w2_b": (3, 16)}
    tensors = {key: torch.randn(shape, generator=generator) for key, shape in shapes.items()}
    file = {f"{name}.{key}": value for key, value in tensors.items()} | {f"{name}.alpha": torch.tensor(6.0)}
    save_file(file, tmp_path / "lokr.safetensors")
    loaded = load_any(tmp_path / "lokr.safetensors", tiny.components)
    w2 = 2 * torch.einsum("ijkl,io,jp->opkl", *(tensors[f"lokr_{key}"] for key in ("t2", "w2_a", "w2_b"))).contiguous()
    dense = torch.kron(tensors["lokr_w1"][..., None, None], w2)
    torch.testing.assert_close(loaded.layers[layer].delta_weight(loaded.values[layer]), dense)


def test_dotted_names(tiny: TinyPipeline, tmp_path: Path) -> None:
    name = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
    save_file(
        {f"{name}.lokr_w1": torch.ones(4, 8), f"{name}.lokr_w2": torch.ones(16, 8)}, tmp_path / "lokr.safetensors"
    )
    loaded = load_any(tmp_path / "lokr.safetensors", tiny.components)
    assert loaded.layers[name].shapes() == {"a": (4, 8), "b": (16, 8)}


def test_any_factors_survive_a_round_trip(tiny: TinyPipeline, tmp_path: Path) -> None:
    patterns = ("*attn*to_[qv]", "text_encoder.*q_proj")
    adapter = tiny.draw("krona", patterns, out_factor=8, in_factor=16, factors=(("*q_proj", 2, 8),))
    export(adapter, tmp_path / "lokr.safetensors", "lokr")
    assert "lora_te_text_model_encoder_layers_0_self_attn_q_proj.lokr_w1" in load_file(tmp_path / "lokr.safetensors")
    loaded = load_any(tmp_path / "lokr.safetensors")
    for layer, params in adapter.values.items():
        assert loaded.layers[layer].shapes() == adapter.layers[layer].shapes()
        torch.testing.assert_close(loaded.values[layer]["b"], params["b"], atol=0, rtol=0)


def test_other_methods_are_refused(tiny: TinyPipeline, tmp_path: Path) -> None:
    with pytest.raises(
        BadConfig,
        match="lokr cannot hold this lora adapter; choose portraitist, diffusers, peft, kohya",
    ):
        export(tiny.draw("lora", ("unet.*to_q",)), tmp_path / "lokr.safetensors", "lokr")


@pytest.mark.parametrize(
    ("tensors", "complaint"),
    [
        ({"lokr_w1": (4, 4), "lokr_w2_a": (16, 2)}, "neither one matrix nor a product of two"),
        ({"lokr_w1": (4, 4), "lokr_w2_a": (16, 2), "lokr_w2_b": (3, 16)}, "which do not fit"),
        ({"lokr_w1": (4, 4), "lokr_w2": (16, 8)}, r"shape \(64, 32\) at .*, which has \(64, 64\)"),
        ({"lokr_w1": (4,), "lokr_w2": (16, 16)}, "has factors of shapes"),
        ({"lokr_w1": (4, 4), "lokr_w2": (16, 16), "lokr_t1": (1,)}, "that LoKr does not use: .*lokr_t1"),
        ({"lokr_w1": (4, 4), "lokr_w2": (16, 16), "dora_scale": (64, 1)}, "that LoKr does not use: .*dora_scale"),
        ({"lokr_w1": (1, 1), "lokr_w2_a": (2**18, 1), "lokr_w2_b": (1, 2**18)}, r"which has \(64, 64\)"),
    ],
)
def test_factors_that_do_not_fit(
    tiny: TinyPipeline, tmp_path: Path, tensors: dict[str, tuple[int, ...]], complaint: str
) -> None:
    name = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q"
    save_file({f"{name}.{key}": torch.ones(shape) for key, shape in tensors.items()}, tmp_path / "lokr.safetensors")
    with pytest.raises(BadFile, match=complaint):
        load_any(tmp_path / "lokr.safetensors", tiny.components)
