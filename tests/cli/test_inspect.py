"""``portraitist inspect``: adapters of this package, files of others, and what is no such file."""

import json
from collections.abc import Callable
from pathlib import Path

import torch
from click.testing import Result
from safetensors.torch import save_file

Run = Callable[..., Result]
Fail = Callable[..., str]


def test_an_adapter_is_described(run: Run, trained: Path, tiny_base_folder: Path) -> None:
    output = run("inspect", trained).stdout
    for words in (
        "a portraitist adapter (lora)",
        "lora, rank 4",
        "unet: 32 linear",
        "15,360 numbers in 64 tensors",
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
    assert len(facts["base"]["fingerprint"]) == 16


def test_a_file_of_others_is_recognised(run: Run) -> None:
    save_file(
        {"lora_unet_mid.lora_down.weight": torch.zeros(4, 8), "lora_unet_mid.lora_up.weight": torch.zeros(8, 4)},
        "kohya.safetensors",
        metadata={"ss_network_module": "networks.lora"},
    )
    output = run("inspect", "kohya.safetensors").stdout
    assert "a LoRA in kohya's layout, written by kohya's sd-scripts" in output
    assert "64 numbers in 2 tensors" in output
    facts = json.loads(run("inspect", "kohya.safetensors", "--json").stdout)
    assert "method" not in facts


def test_what_is_no_safetensors_file_is_refused(fail: Fail, trained: Path, picture: Path) -> None:
    Path("cut.safetensors").write_bytes(trained.read_bytes()[:3000])
    Path("pickle.bin").write_bytes(b"\x80\x02" + bytes(64))
    assert "does not exist" in fail("inspect", "missing.safetensors")
    assert "is a folder without an adapter" in fail("inspect", ".")
    assert "cut short" in fail("inspect", "cut.safetensors")
    assert "is a pickle" in fail("inspect", "pickle.bin")
    assert "is no safetensors file" in fail("inspect", picture)
