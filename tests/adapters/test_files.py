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
from portraitist.adapters.outline import tensors_not_finite
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


def write_claims(path: Path, tensors: dict[str, torch.Tensor], **header: object) -> None:
    described = {"config": {}, **header}
    save_file(tensors, path, metadata={"format": "portraitist-adapter-1", "portraitist": json.dumps(described)})


def test_nothing_is_drawn_before_shapes_are_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portraitist.adapters.methods.lidb.auxiliary_basis", lambda *_: pytest.fail("bases were drawn"))
    path, layers = tmp_path / "lidb.safetensors", [0] * 100
    tensors = {f"unet.l{number}.a": torch.zeros(1) for number in range(100)}
    claims = {"method": "lidb", "geometries": ["linear 4096x4096 1x1 0x0 1x1 1 -"], "layers": layers}
    write_claims(path, tensors, config={"a": 64, "b": 64}, drawn_sums="1 2 3 4 5 6 7 8", **claims)
    with pytest.raises(BadFile, match="lacks 100 tensors"):
        load_adapter(path)
    tensors = {
        f"unet.l{n}.{side}": torch.zeros(shape) for n in range(100) for side, shape in (("a", (4, 1)), ("b", (1, 4)))
    }
    write_claims(path, tensors, config={"a": 4, "b": 4}, **claims)
    assert load_adapter(path).count() == 800  # no sums are noted, so there is nothing to compare with
    wide = {**claims, "geometries": ["linear 1000000x4 1x1 0x0 1x1 1 -"]}
    write_claims(path, tensors, config={"a": 4, "b": 4}, drawn_sums="1 2 3 4 5 6 7 8", **wide)
    with pytest.raises(BadFile, match=r"its 800 numbers would need 400,001,600 more that are drawn from a seed"):
        load_adapter(path)


def test_a_shape_that_no_layer_of_its_kind_has(tmp_path: Path) -> None:
    write_claims(
        tmp_path / "krona.safetensors",
        {"unet.l0.a": torch.zeros(1, 1)},
        method="krona",
        config={"out_factor": 1, "in_factor": 1},
        geometries=["linear 64 1x1 0x0 1x1 1 -"],
        layers=[0],
    )
    with pytest.raises(BadFile, match=r"would be a linear layer with a weight of shape \(64,\)"):
        load_adapter(tmp_path / "krona.safetensors")


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.int32, torch.bool, torch.complex64])
def test_precisions_that_no_adapter_has(path: Path, dtype: torch.dtype) -> None:
    rewrite(path, {"m.1.up": torch.zeros(4, 2).to(dtype)})
    with pytest.raises(BadFile, match=r"m\.1\.up is stored as .*; F64, F32, F16, BF16 can be read"):
        load_adapter(path)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_numbers_too_large_to_compute_with(path: Path, dtype: torch.dtype) -> None:
    rewrite(path, {"m.1.up": torch.full((4, 2), 2.0**60, dtype=dtype)})
    assert list(tensors_not_finite(path)) == ["m.1.up"]
    with pytest.raises(BadFile, match=r"m\.1\.up .* too large to compute with"):
        load_adapter(path)
    rewrite(path, {"m.1.up": torch.full((4, 2), 2.0**59, dtype=dtype)})
    assert not list(tensors_not_finite(path))


def test_a_strength_that_would_be_infinite(adapter: Adapter, path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b'\\"alpha\\": null', b'\\"alpha\\": 1e99'))
    with pytest.raises(BadFile, match=r"alpha must be a positive number below 2,000,000, not 1e\+99"):
        load_adapter(path)


def test_more_tensors_than_any_model(tmp_path: Path) -> None:
    path = tmp_path / "many.safetensors"
    empty = {f"t{number}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for number in range(70_000)}
    header = json.dumps(empty).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(BadFile, match="holds 70,000 tensors, more than any adapter or model"):
        load_adapter(path)


def test_a_file_that_may_not_be_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, *_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(BadFile, match="cannot be read: Permission denied"):
        load_adapter(path)
