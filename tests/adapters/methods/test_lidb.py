"""The auxiliary bases of LiDB: what they are, what they depend on, and the sums that files keep of them."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from portraitist.adapters import (
    Adapter,
    Kind,
    LayerSpec,
    file_size,
    find_layers,
    get_method,
    load_adapter,
    save_adapter,
)
from portraitist.adapters.layouts.lidb import LidbConfig
from portraitist.adapters.methods import lidb
from portraitist.adapters.methods.lidb import auxiliary_basis
from portraitist.errors import BadConfig, BadFile


def test_bases_are_orthonormal() -> None:
    for size, dimension in ((320, 100), (50, 50)):
        basis = auxiliary_basis(0, "unet.x", "out", size, dimension)
        assert (basis.shape, basis.dtype) == ((size, dimension), torch.float32)
        torch.testing.assert_close(basis.T @ basis, torch.eye(dimension), rtol=0, atol=1e-6)


def test_bases_that_no_layer_needs_are_not_drawn() -> None:
    spec = LayerSpec("m.x", Kind.LINEAR, (2**20, 2**9))
    with pytest.raises(BadConfig, match=r"frozen basis of 1,099,511,627,776 numbers; choose smaller a and b"):
        get_method("lidb").layer(spec, LidbConfig(a=2**20))


def test_bases_depend_on_seed_layer_and_side_alone() -> None:
    first = auxiliary_basis(0, "unet.x", "out", 12, 5)
    torch.manual_seed(7)
    auxiliary_basis.cache_clear()
    assert torch.equal(auxiliary_basis(0, "unet.x", "out", 12, 5), first)
    for other in ((1, "unet.x", "out"), (0, "unet.y", "out"), (0, "unet.x", "in")):
        assert (auxiliary_basis(*other, 12, 5) - first).abs().max() > 0.1


def test_bases_are_those_of_every_machine() -> None:
    basis = auxiliary_basis(0, "unet.x", "out", 20, 4)
    known = torch.tensor([0.36598, -0.01914, 0.10023, 0.00025])
    torch.testing.assert_close(basis.diagonal(), known, rtol=0, atol=1e-5)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    components = {"m": nn.ModuleDict({"x": nn.Linear(12, 8), "y": nn.Linear(8, 20)})}
    specs = find_layers(components, ["m.*"])
    adapter = Adapter.create("lidb", {"a": 6, "b": 5}, specs, torch.Generator().manual_seed(0))
    save_adapter(adapter, tmp_path / "a.safetensors")
    assert (tmp_path / "a.safetensors").stat().st_size == file_size(adapter)
    return tmp_path / "a.safetensors"


def test_a_file_of_other_bases_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_adapter(path).provenance.facts == {}
    monkeypatch.setattr(lidb, "auxiliary_basis", lambda *given: auxiliary_basis(*given).flip(0))
    with pytest.raises(BadFile, match="this machine draws other frozen bases"):
        load_adapter(path)


def test_the_last_digits_of_another_machine_are_no_other_bases(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lidb, "auxiliary_basis", lambda *given: auxiliary_basis(*given) * (1 + 1e-6))
    assert load_adapter(path).count() == 2 * 11


def test_a_file_without_sums_is_read(path: Path) -> None:
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    header = json.loads(metadata["portraitist"])
    del header["drawn_sums"]
    save_file(load_file(path), path, metadata={**metadata, "portraitist": json.dumps(header)})
    assert load_adapter(path).count() == 2 * 11
