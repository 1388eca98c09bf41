"""LoHa: through lycoris and PEFT, and into LoRA."""

from pathlib import Path

import pytest
import torch
from comparing import TinyPipeline, outputs
from lycoris import LycorisNetwork, create_lycoris, create_lycoris_from_weights
from peft import LoHaConfig, get_peft_model
from safetensors.torch import save_file

from portraitist.errors import BadFile
from portraitist.exchange.exporting import export
from portraitist.exchange.formats import detect
from portraitist.exchange.loading import load_any

PATTERNS = tuple(f"{kind}:unet.*" for kind in ("linear", "conv"))


def test_lycoris_reads_ours(tiny: TinyPipeline, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    adapter = tiny.draw("loha", PATTERNS, size=0.3, rank=3, alpha=5.0)
    assert export(adapter, tmp_path / "loha.safetensors", "loha").exact
    monkeypatch.setattr(LycorisNetwork, "LORA_PREFIX", "lora_unet")
    pipeline = tiny.load()
    network, _ = create_lycoris_from_weights(1.0, str(tmp_path / "loha.safetensors"), pipeline.unet)
    network.apply_to()
    tiny.require_same(tiny.adapted(adapter), outputs(pipeline.unet, pipeline.text_encoder))
    again = load_any(tmp_path / "loha.safetensors", tiny.components)
    assert again.config == adapter.config
    for layer, params in adapter.values.items():
        assert all(value.equal(again.values[layer][key]) for key, value in params.items())


@pytest.mark.parametrize("tucker", [False, True])
def test_we_read_lycoris(tiny: TinyPipeline, tmp_path: Path, tucker: bool) -> None:
    pipeline = tiny.load()
    network = create_lycoris(
        pipeline.unet, linear_dim=4, linear_alpha=2, conv_dim=3, conv_alpha=1, algo="loha", use_tucker=tucker
    )
    network.apply_to()
    generator = torch.Generator().manual_seed(1)
    for value in network.parameters():
        value.data = 0.4 * torch.randn(value.shape, generator=generator)
    network.save_weights(str(tmp_path / "lycoris.safetensors"), None, {})
    assert detect(tmp_path / "lycoris.safetensors").name == "loha"
    adapter = load_any(tmp_path / "lycoris.safetensors", tiny.components)
    assert adapter.method.name == "loha"
    tiny.require_same(tiny.adapted(adapter), outputs(pipeline.unet, pipeline.text_encoder))


def test_we_read_peft(tiny: TinyPipeline, tmp_path: Path) -> None:
    pipeline = tiny.load()
    targets = ["to_q", "to_out.0", "conv1", "proj_in"]
    config = LoHaConfig(r=3, alpha=2, target_modules=targets, alpha_pattern={"to_q": 5}, use_effective_conv2d=True)
    model = get_peft_model(pipeline.unet, config)
    generator = torch.Generator().manual_seed(1)
    for value in model.parameters():
        if value.requires_grad:
            value.data = 0.4 * torch.randn(value.shape, generator=generator)
    model.save_pretrained(tmp_path)
    adapter = load_any(tmp_path, tiny.components)
    assert adapter.method.name == "loha"
    tiny.require_same(tiny.adapted(adapter), outputs(pipeline.unet, pipeline.text_encoder))


def test_it_is_an_exact_lora_of_the_squared_rank(tiny: TinyPipeline, tmp_path: Path) -> None:
    adapter = tiny.draw("loha", PATTERNS, size=0.3, rank=2, alpha=3.0)
    report = export(adapter, tmp_path / "lora.safetensors", "kohya")
    assert report.exact
    assert report.written.config.rank == 4
    tiny.require_same(tiny.adapted(adapter), tiny.adapted(load_any(tmp_path / "lora.safetensors", tiny.components)))
    cut = export(adapter, tmp_path / "cut.safetensors", "kohya", rank=2)
    assert 0.3 < min(cut.energy.values()) < 1
    layer = adapter.layers["unet.mid_block.attentions.0.proj_in"]
    params = adapter.values["unet.mid_block.attentions.0.proj_in"]
    sigma = torch.linalg.svdvals(layer.delta_weight(params).flatten(1))
    best = float(sigma[:2].square().sum() / sigma.square().sum())
    assert cut.energy["unet.mid_block.attentions.0.proj_in"] == pytest.approx(best, abs=1e-5)


def test_joint_matrices_of_flux_are_split(tmp_path: Path) -> None:
    generator, name = torch.Generator().manual_seed(2), "lora_unet_double_blocks_0_img_attn_qkv"
    tensors = {
        f"{name}.hada_w{side}_{part}": torch.randn((24, 2) if part == "a" else (2, 8), generator=generator)
        for side in (1, 2)
        for part in "ab"
    }
    save_file({**tensors, f"{name}.alpha": torch.tensor(1.0)}, tmp_path / "loha.safetensors")
    adapter = load_any(tmp_path / "loha.safetensors")
    rows = [
        adapter.layers[layer].delta_weight(adapter.values[layer])
        for layer in (f"transformer.transformer_blocks.0.attn.to_{part}" for part in "qkv")
    ]
    first, second = (tensors[f"{name}.hada_w{side}_a"] @ tensors[f"{name}.hada_w{side}_b"] for side in (1, 2))
    torch.testing.assert_close(torch.cat(rows), first * second / 2)


def test_products_that_do_not_fit_are_named(tmp_path: Path) -> None:
    name = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q"
    shapes = {"a": (8, 2), "b": (2, 8)}
    good = {f"{name}.hada_w{side}_{part}": torch.ones(shape) for side in "12" for part, shape in shapes.items()}
    for key, value, message in (
        ("hada_w1_b", torch.ones(3, 8), "is a product of shapes"),
        ("hada_w2_b", torch.ones(2, 9), "two products of different shapes"),
        ("hada_t1", torch.ones(2, 2, 3), "which do not fit the core"),
        ("dora_scale", torch.ones(8, 1), "LoHa does not use"),
    ):
        save_file({**good, f"{name}.{key}": value}, tmp_path / "bad.safetensors")
        with pytest.raises(BadFile, match=message):
            load_any(tmp_path / "bad.safetensors")


def test_ranks_and_strengths_that_differ_are_brought_together(tmp_path: Path) -> None:
    generator, tensors, changes = torch.Generator().manual_seed(0), {}, {}
    for index, (rank, alpha) in enumerate([(3, 6.0), (2, -2.0)]):
        name = f"down_blocks_{index}_attentions_0_transformer_blocks_0_attn1_to_q"
        sides = [(torch.randn(8, rank, generator=generator), torch.randn(rank, 8, generator=generator)) for _ in "12"]
        for number, (a, b) in enumerate(sides, 1):
            tensors |= {f"lora_unet_{name}.hada_w{number}_a": a, f"lora_unet_{name}.hada_w{number}_b": b}
        tensors[f"lora_unet_{name}.alpha"] = torch.tensor(alpha)
        changes[f"unet.down_blocks.{index}.attentions.0.transformer_blocks.0.attn1.to_q"] = (
            alpha / rank * (sides[0][0] @ sides[0][1]) * (sides[1][0] @ sides[1][1])
        )
    save_file(tensors, tmp_path / "loha.safetensors")
    loaded = load_any(tmp_path / "loha.safetensors")
    assert loaded.config.rank == 3
    for layer, change in changes.items():
        torch.testing.assert_close(loaded.layers[layer].delta_weight(loaded.values[layer]), change)
