"""Files that are not what they should be get one clear error, and never run code or fill the memory."""

import json
import pickle
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from portraitist.adapters import Adapter, find_layers, load_adapter, read_header, save_adapter
from portraitist.errors import BadFile, UnwritableFolder


@pytest.fixture
def adapter() -> Adapter:
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 4))
    return Adapter.create("lora", {"rank": 2}, find_layers({"m": model}, ["m.*"]), torch.Generator().manual_seed(0))


@pytest.fixture
def path(adapter: Adapter, tmp_path: Path) -> Path:
    save_adapter(adapter, tmp_path / "adapter.safetensors")
    return tmp_path / "adapter.safetensors"


def rewrite(path: Path, change: dict[str, torch.Tensor], drop: tuple[str, ...] = ()) -> None:
    """Change tensors of an adapter file, keeping its metadata."""
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys() if key not in drop}  # noqa: SIM118
        metadata = file.metadata()
    save_file({**tensors, **change}, path, metadata=metadata)


def test_cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(BadFile, match="cut short"):
        load_adapter(path)


@pytest.mark.parametrize("size", [0, 3])
def test_almost_empty(path: Path, size: int) -> None:
    path.write_bytes(b"abc"[:size])
    with pytest.raises(BadFile, match="empty or cut short"):
        load_adapter(path)


def test_pickle_in_disguise(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (exec, (f"open({str(tmp_path / 'sprung')!r}, 'w')",))

    path = tmp_path / "nice.safetensors"
    path.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(BadFile, match="pickle"):
        load_adapter(path)
    torch.save({"a": torch.zeros(1)}, path)
    with pytest.raises(BadFile, match="pickle"):
        load_adapter(path)
    assert not (tmp_path / "sprung").exists()


def test_header_that_claims_a_terabyte(path: Path) -> None:
    path.write_bytes(struct.pack("<Q", 2**40) + b"{}" * 100)
    with pytest.raises(BadFile, match="claims 1099511627776 bytes"):
        load_adapter(path)


def test_tensor_that_claims_a_terabyte(path: Path) -> None:
    header = json.dumps({"m.0.up": {"dtype": "F32", "shape": [2**20, 2**20], "data_offsets": [0, 2**42]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + b"\0" * 64)
    with pytest.raises(BadFile, match="damaged or cut short"):
        load_adapter(path)


def test_unused_tensor_is_named(path: Path) -> None:
    rewrite(path, {"m.0.extra": torch.zeros(1)})
    with pytest.raises(BadFile, match=r"1 tensor that its method does not use: m\.0\.extra"):
        load_adapter(path)


def test_missing_tensor_is_named(path: Path) -> None:
    rewrite(path, {}, drop=("m.1.up",))
    with pytest.raises(BadFile, match=r"lacks 1 tensor that its method needs: m\.1\.up"):
        load_adapter(path)


def test_wrong_shape_is_named(path: Path) -> None:
    rewrite(path, {"m.1.up": torch.zeros(4, 3)})
    with pytest.raises(BadFile, match=r"m\.1\.up has shape \(4, 3\) where \(4, 2\) is needed"):
        load_adapter(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_named(path: Path, value: float) -> None:
    rewrite(path, {"m.1.up": torch.full((4, 2), value)})
    with pytest.raises(BadFile, match=r"m\.1\.up holds values that are not finite"):
        load_adapter(path)


def test_foreign_safetensors(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "foreign.safetensors")
    with pytest.raises(BadFile, match="not a portraitist adapter"):
        read_header(tmp_path / "foreign.safetensors")


def test_missing_and_folder(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="does not exist"):
        load_adapter(tmp_path / "none.safetensors")
    with pytest.raises(BadFile, match="is a folder"):
        load_adapter(tmp_path)


def test_unwritable_target(adapter: Adapter, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UnwritableFolder, match="cannot write"):
        save_adapter(adapter, tmp_path / "file" / "adapter.safetensors")


def test_a_failed_write_keeps_the_old_file(adapter: Adapter, path: Path) -> None:
    before = path.read_bytes()
    adapter.provenance.facts["bad"] = object()
    with pytest.raises(TypeError):
        save_adapter(adapter, path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]
