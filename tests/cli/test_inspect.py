"""``portraitist inspect``: adapters of this package, files of others, and what is no such file."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import Result
from safetensors.torch import save_file

from portraitist.adapters import load_adapter, save_adapter

Run = Callable[..., Result]
Fail = Callable[..., str]


def test_an_adapter_is_described(run: Run, trained: Path, tiny_base_folder: Path) -> None:
    output = run("inspect", trained).stdout
    for words in (
        "a portraitist adapter (lora)",
        "lora, rank 4",
        "unet: 32 linear",
        "15,360 parameters in 64 tensors",
        "F32 (64)",
        f"{tiny_base_folder} (fingerprint ",
        "sks cat",
        "3 steps in",
        "portraitist 0.",
        "learning_rate: 0.05",
    ):
        assert words in output
    assert f"{trained.stat().st_size / 1e3:.3g} kB" in output


def test_json_holds_everything(run: Run, trained: Path) -> None:
    facts = json.loads(run("inspect", trained, "--json").stdout)
    assert facts["method"] == "lora"
    assert facts["bytes"] == trained.stat().st_size
    assert facts["parameters"] == 15360
    assert facts["layers"] == {"unet": {"linear": 32}}
    assert facts["recipe"]["steps"] == 3
    assert facts["training"]["steps"] == 3
    assert facts["base"]["fingerprint"].count("-") == 2


def test_adapters_of_every_format_are_described(run: Run, trained: Path, write_adapter: Callable[..., Path]) -> None:
    krona = write_adapter("krona", "krona", ("linear:unet.*attn*",), out_factor=8, in_factor=16)
    for to, source, words in (
        ("kohya", trained, "lora, rank 4"),
        ("diffusers", trained, "lora, rank 4"),
        ("peft", trained, "lora, rank 4"),
        ("lokr", krona, "krona, out_factor 8, in_factor 16"),
    ):
        path = Path(to if to == "peft" else f"{to}.safetensors")
        run("convert", source, "-o", path, "--to", to)
        output = run("inspect", path).stdout
        for expected in (words, f"format      {to}", "unet: 32 linear", "(fingerprint "):
            assert expected in output


def test_a_folder_is_inspected_like_a_file(run: Run, trained: Path) -> None:
    run("convert", trained, "-o", "folder", "--to", "peft")
    facts = json.loads(run("inspect", "folder", "--json").stdout)
    assert facts["format"] == "peft"
    assert facts["bytes"] == Path("folder/adapter_model.safetensors").stat().st_size
    assert facts["layers"] == {"unet": {"linear": 32}}
    assert facts["config"]["rank"] == 4


def test_what_is_not_understood_without_its_base_is_said(
    run: Run, write_adapter: Callable[..., Path], tiny_base_folder: Path
) -> None:
    shifts = write_adapter("shifts", "svdiff", ("linear:unet.*attn*",))
    run("convert", shifts, "-o", "folder", "--to", "svdiff-pytorch")
    output = run("inspect", "folder").stdout
    assert "spectral shifts of svdiff-pytorch" in output
    assert "mean nothing without their base; name it with --base" in output
    assert "unet: 32 linear" in run("inspect", "folder", "--base", tiny_base_folder).stdout


@pytest.mark.parametrize(
    ("tensors", "metadata", "base"),
    [
        ({"unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_k": (8, 768)}, {}, "Stable Diffusion 1.x"),
        ({"unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_v": (8, 1024)}, {}, "Stable Diffusion 2.x"),
        ({"unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_k": (8, 2048)}, {}, "Stable Diffusion XL"),
        ({"transformer.single_transformer_blocks.0.proj_mlp": (8, 8)}, {}, "Flux"),
        ({"unet.mid_block.resnets.0.conv1": (8, 8)}, {"ss_base_model_version": "sd_v1"}, "sd_v1, as its file notes"),
        ({"unet.mid_block.resnets.0.conv1": (8, 8)}, {}, None),
    ],
)
def test_the_base_is_guessed(
    run: Run, tensors: dict[str, tuple[int, int]], metadata: dict[str, str], base: str | None
) -> None:
    factors = {}
    for layer, (outputs, inputs) in tensors.items():
        factors |= {f"{layer}.lora_A.weight": torch.ones(2, inputs), f"{layer}.lora_B.weight": torch.ones(outputs, 2)}
    save_file(factors, "lora.safetensors", metadata)
    expected = f"not named; apparently {base}" if base else "not named\n"
    assert expected in run("inspect", "lora.safetensors").stdout
    assert json.loads(run("inspect", "lora.safetensors", "--json").stdout)["seems_for"] == base


def test_a_file_of_others_is_recognised(run: Run) -> None:
    save_file({"image_proj.latents": torch.zeros(1)}, "other.safetensors", metadata={"modelspec.title": "it"})
    output = run("inspect", "other.safetensors").stdout
    assert "an IP-Adapter, with a model specification header" in output
    assert "1 parameter in 1 tensor" in output
    assert "method" not in json.loads(run("inspect", "other.safetensors", "--json").stdout)


def test_a_file_cannot_write_to_the_terminal(run: Run, trained: Path) -> None:
    adapter = load_adapter(trained)
    adapter.provenance.facts["trigger"] = "sks\x1b]0;owned\x07\x1b[2J cat"
    save_adapter(adapter, "escape.safetensors")
    output = run("inspect", "escape.safetensors").stdout
    assert "\x1b" not in output
    assert "]0;owned" in output


def test_what_is_no_safetensors_file_is_refused(fail: Fail, trained: Path, picture: Path) -> None:
    Path("cut.safetensors").write_bytes(trained.read_bytes()[:3000])
    Path("pickle.bin").write_bytes(b"\x80\x02" + bytes(64))
    assert "does not exist" in fail("inspect", "missing.safetensors")
    assert "is a folder without an adapter" in fail("inspect", ".")
    assert "cut short" in fail("inspect", "cut.safetensors")
    assert "is a pickle" in fail("inspect", "pickle.bin")
    assert "is not a safetensors file" in fail("inspect", picture)
