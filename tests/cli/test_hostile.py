"""Damaged and dangerous adapter files through every command that reads one: one clear line, nothing run or written."""

import json
import pickle
import re
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import Result
from safetensors import safe_open
from safetensors.torch import save_file

from portraitist.adapters import load_adapter, save_adapter
from portraitist.exchange.formats import detect

Fail = Callable[..., str]
Run = Callable[..., Result]
FORMATS = ("portraitist", "kohya", "peft")


class Trap:
    """Opened as a pickle, it leaves a mark."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (exec, ("open('sprung', 'w').close()",))


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: -file.stat().st_size // 3])


def corrupt(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[:20] + b"\xff\xfe{{" + content[24:])


def disguise(file: Path) -> None:
    file.write_bytes(pickle.dumps(Trap()))


def archive(file: Path) -> None:
    torch.save({"weight": torch.zeros(1)}, file)


def claim_header(file: Path) -> None:
    file.write_bytes(struct.pack("<Q", 2**40) + b"{}" * 100)


def claim_tensor(file: Path) -> None:
    with safe_open(file, "pt") as opened:
        keys, metadata = list(opened.keys()), opened.metadata()
    header: dict[str, object] = {
        key: {"dtype": "F32", "shape": [2**20, 2**20], "data_offsets": [0, 2**42]} for key in keys
    }
    text = json.dumps({**header, "__metadata__": metadata}).encode()
    file.write_bytes(struct.pack("<Q", len(text)) + text + bytes(64))


def rewrite(file: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    with safe_open(file, "pt") as opened:
        tensors = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118 - not a mapping
        metadata = opened.metadata()
    change(tensors)
    save_file({key: value.contiguous() for key, value in tensors.items()}, file, metadata=metadata)


def spoil(file: Path) -> None:
    rewrite(file, lambda tensors: tensors[max(tensors)].view(-1)[:1].fill_(torch.nan))


def reshape(file: Path) -> None:
    rewrite(file, lambda tensors: tensors.update({key: value[..., :3] for key, value in tensors.items() if value.ndim}))


def add(file: Path) -> None:
    rewrite(file, lambda tensors: tensors.update({f"{max(tensors).rpartition('.')[0]}.strange": torch.zeros(2)}))


DAMAGES: dict[Callable[[Path], None], str] = {
    Path.unlink: "does not exist|without an adapter",
    cut: "cut short",
    corrupt: "cut short|not a safetensors file",
    disguise: "is a pickle",
    archive: "is a pickle",
    claim_header: "cut short",
    claim_tensor: "cut short",
    spoil: "not finite",
    reshape: "shape|different ranks",
    add: "holds 1 tensor that .* does not use: .*strange",
}


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("format", FORMATS)
def test_every_command_refuses_in_one_line(
    run: Run, fail: Fail, trained: Path, tiny_base_folder: Path, format: str, damage: Callable[[Path], None]
) -> None:
    path = Path("folder" if format == "peft" else "file.safetensors")
    run("convert", trained, "-o", path, "--to", format)
    (weights,) = detect(path).files(path)
    damage(weights)
    for command in (
        ("inspect", path),
        ("convert", path, "-o", "out.safetensors", "--to", "diffusers"),
        ("merge", trained, path, "-o", "out.safetensors"),
        ("merge", path, "--into-base", "-o", "model"),
        ("generate", "a sks cat", "--adapter", path, "--base", tiny_base_folder, "-n", 1),
    ):
        line = fail(*command)
        assert re.search(DAMAGES[damage], line), line
    assert not Path("sprung").exists()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"method": "magic"}, "unknown method 'magic'"),
        ({"method": "lora+" * 10_000}, "unknown method|adapt all"),
        ({"config": {"rank": 10**12}}, "where .* is needed"),
        ({"config": {"rank": -1}}, "rank must be at least 1"),
        ({"config": {"rank": 4, "alpha": float("nan")}}, "alpha must be a positive number below 4,000,000, not nan"),
        ({"config": []}, "damaged or from a newer version"),
        ({"geometries": ["linear 1048576000x1048576000 1 0 1 1 -"]}, "which no layer has"),
        ({"geometries": ["linear 0x8 1 0 1 1 -"]}, "which no layer has"),
        ({"geometries": ["linear"]}, "damaged or from a newer version"),
        ({"layers": [10**9]}, "damaged or from a newer version"),
        ({"layers": None}, "damaged or from a newer version"),
    ],
)
def test_descriptions_that_lie(fail: Fail, trained: Path, change: dict[str, object], complaint: str) -> None:
    with safe_open(trained, "pt") as opened:
        tensors = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118 - not a mapping
        header = json.loads(opened.metadata()["portraitist"])
    metadata = {"format": "portraitist-adapter-1", "portraitist": json.dumps({**header, **change})}
    save_file(tensors, "lying.safetensors", metadata=metadata)
    line = fail("inspect", "lying.safetensors")
    assert re.search(complaint, line), line


@pytest.mark.parametrize("seconds", ["abc", None, [1], -1, float("nan"), float("inf")])
def test_odd_times_are_left_out(run: Run, trained: Path, seconds: object) -> None:
    adapter = load_adapter(trained)
    adapter.provenance.facts["training"] = {"steps": 3, "seconds": seconds}
    save_adapter(adapter, "odd.safetensors")
    assert re.search(r"^trained +3 steps$", run("inspect", "odd.safetensors").stdout, re.MULTILINE)


def test_a_description_without_end(fail: Fail, trained: Path) -> None:
    metadata = {"format": "portraitist-adapter-1", "portraitist": "[" * 100_000}
    save_file({"unet.x.up": torch.zeros(2, 2)}, "deep.safetensors", metadata=metadata)
    assert "description is unreadable" in fail("inspect", "deep.safetensors")
