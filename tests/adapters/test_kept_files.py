"""Files and seeds of earlier versions mean what they meant: the files in `fixtures` load, act and are written alike."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from portraitist.adapters import Adapter, attached, find_layers, get_method, load_adapter, load_bank, save_adapter

FIXTURES = Path(__file__).parent / "fixtures"
CONFIGS: dict[str, dict[str, Any]] = {
    "lora": {"rank": 3, "alpha": 2.0},
    "krona": {"out_factor": 2, "in_factor": 4, "scale": 0.7},
    "lidb": {"a": 6, "b": 5, "rank": 2},
    "svdiff": {"leak": 0.1},
    "textual-inversion": {"token_ids": (2, 7, 5), "initial_ids": (3,)},
    "full": {},
    "textual-inversion+lora": {"textual-inversion": {"token_ids": (2, 7)}, "lora": {"rank": 2}},
}
FACTS = {
    "base": {
        "name": "toyland",
        "family": "sd15",
        "fingerprint": "0123456789-abcdef0123-456789abcd",
        "dtype": "float32",
        "resolution": 64,
    },
    "recipe": {"method": "lora", "prompt": "a photo of a {}", "steps": 400, "layers": "attention"},
    "portraitist_version": "0.1.0.dev0",
    "subject": {"name": "cat", "class": "cat", "token": "sks"},
    "trigger": "sks cat",
    "training": {"steps": 400, "seconds": 12.3},
}


@pytest.fixture(scope="module")
def expected() -> dict[str, Tensor]:
    return load_file(FIXTURES / "expected.safetensors")


@pytest.fixture(scope="module")
def inputs() -> dict[str, Tensor]:
    stored = load_file(FIXTURES / "model.safetensors")
    return {key.removeprefix("inputs/"): value for key, value in stored.items() if key.startswith("inputs/")}


@pytest.fixture(scope="module")
def model() -> nn.Module:
    layers = nn.ModuleDict(
        {
            "linear": nn.Linear(12, 8),
            "wide": nn.Linear(12, 20, bias=False),
            "conv": nn.Conv2d(4, 6, 3, stride=2, padding=1),
            "pointwise": nn.Conv2d(4, 6, 1),
            "transposed": nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1),
            "group_norm": nn.GroupNorm(2, 4),
            "layer_norm": nn.LayerNorm(12),
            "embedding": nn.Embedding(10, 6),
        }
    )
    stored = load_file(FIXTURES / "model.safetensors")
    layers.load_state_dict({k.removeprefix("weights/"): v for k, v in stored.items() if k.startswith("weights/")})
    return layers.requires_grad_(False)


def check_outputs(
    model: nn.Module, adapter: Adapter, inputs: dict[str, Tensor], expected: dict[str, Tensor], file: str
) -> None:
    with torch.no_grad(), attached({"m": model}, adapter, scale=0.6):
        for name in (layer.removeprefix("m.") for layer in adapter.layers):
            y = model.get_submodule(name)(inputs[name])
            torch.testing.assert_close(y, expected[f"{file}/{name}"], rtol=1e-5, atol=1e-5)


def content(path: Path) -> tuple[dict[str, str], int, dict[str, tuple[torch.dtype, bytes]]]:
    """Return a file's metadata, size and tensors; safetensors writes entries of the metadata in any order."""
    with safe_open(path, "pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no mapping
        plain = {key: (value.dtype, value.view(torch.uint8).numpy().tobytes()) for key, value in tensors.items()}
        return file.metadata(), path.stat().st_size, plain


@pytest.mark.parametrize("method", CONFIGS)
def test_a_kept_file_acts_as_it_did(
    model: nn.Module, inputs: dict[str, Tensor], expected: dict[str, Tensor], method: str
) -> None:
    adapter = load_adapter(FIXTURES / f"{method}.safetensors")
    assert adapter.provenance.facts == FACTS
    assert adapter.method.name == method
    assert adapter.config == adapter.method.parse_config(CONFIGS[method])
    check_outputs(model, adapter, inputs, expected, method)


@pytest.mark.parametrize("method", CONFIGS)
def test_a_kept_file_is_written_as_it_was(tmp_path: Path, method: str) -> None:
    before = FIXTURES / f"{method}.safetensors"
    save_adapter(load_adapter(before), tmp_path / "again.safetensors")
    assert content(tmp_path / "again.safetensors") == content(before)


def test_a_kept_bank_acts_as_it_did(model: nn.Module, inputs: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    check_outputs(model, load_bank(FIXTURES / "bank.safetensors"), inputs, expected, "bank")


def test_a_kept_file_in_bfloat16_is_written_as_it_was(tmp_path: Path) -> None:
    before = FIXTURES / "krona-bfloat16.safetensors"
    save_adapter(load_adapter(before), tmp_path / "again.safetensors", torch.bfloat16)
    assert content(tmp_path / "again.safetensors") == content(before)


@pytest.mark.parametrize("method", CONFIGS)
def test_a_seed_draws_the_adapter_it_drew(model: nn.Module, expected: dict[str, Tensor], method: str) -> None:
    kinds = get_method(method).layers
    specs = [spec for spec in find_layers({"m": model}, ["m.*"]) if spec.kind in kinds]
    adapter = Adapter.create(method, CONFIGS[method], specs, torch.Generator().manual_seed(5))
    drawn = {f"initial/{method}/{name}": value.detach() for name, value in adapter.named_parameters().items()}
    kept = {name for name in expected if name.startswith(f"initial/{method}/")}
    assert drawn.keys() == kept
    for name, value in drawn.items():
        assert torch.equal(value, expected[name])
