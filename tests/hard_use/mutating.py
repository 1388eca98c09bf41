"""Sound adapter files of every format, and thousands of ways to damage them."""

import json
import re
import shutil
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from comparing import TinyPipeline
from safetensors.torch import save_file

from portraitist.adapters import Adapter, save_adapter, save_bank, stack
from portraitist.exchange.exporting import export

LAYERS = ("unet.mid_block*attn1.to_[qkv]", "text_encoder*q_proj")
_METHODS: dict[str, dict[str, Any]] = {
    "lora": {"rank": 2, "alpha": 3.0},
    "krona": {"out_factor": 4, "in_factor": 8},
    "lidb": {"a": 8, "b": 4},
    "svdiff": {},
    "full": {},
}
# Values that nobody expects where another stands.
_ODD: tuple[Any, ...] = (None, True, -1, 0, 1, 7, 2**31, 2**63, 10**400, 1e308, "", "x", "1", [], [1], {}, {"a": 1})
_PRECISIONS = ("F64", "F32", "F16", "BF16", "I64", "I8", "U8", "BOOL", "F8_E4M3", "F8_E5M2", "F4", "C64", "X1")


@dataclass(frozen=True)
class Sample:
    """A sound adapter: what to load, the files it consists of, and what it is loaded as."""

    name: str
    path: Path
    files: tuple[Path, ...]

    def copied(self, folder: Path) -> "Sample":
        """Return a copy to be damaged."""
        place = folder / self.path.name
        if self.path.is_dir():
            shutil.copytree(self.path, place)
        else:
            shutil.copy(self.path, place)
        return Sample(self.name, place, tuple(folder / file.relative_to(self.path.parent) for file in self.files))


def make_samples(tiny: TinyPipeline, folder: Path) -> list[Sample]:
    """Write a sound file of every format, and of every method and a bank in our own."""
    samples = []

    def keep(name: str, path: Path) -> None:
        files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
        samples.append(Sample(name, path, tuple(files)))

    for method in _METHODS:
        path = folder / f"{method}.safetensors"
        save_adapter(drawn(tiny, method), path)
        keep(f"portraitist {method}", path)
    save_bank(stack([drawn(tiny, "lora"), drawn(tiny, "lora")]), folder / "bank.safetensors")
    keep("portraitist bank", folder / "bank.safetensors")
    for format, method in (("diffusers", "lora"), ("kohya", "lora"), ("lokr", "krona")):
        export(drawn(tiny, method), folder / f"{format}.safetensors", format)
        keep(format, folder / f"{format}.safetensors")
    for format, method in (("peft", "lora"), ("svdiff-pytorch", "svdiff")):
        export(drawn(tiny, method), folder / format, format)
        keep(format, folder / format)
    key = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.processor.to_{}_lora"
    tensors = {f"{key.format(p)}.{side}.weight": torch.rand(16, 4) for p in "qv" for side in ("down", "up")}
    save_file(tensors, folder / "diffusekrona.safetensors")
    keep("diffusekrona", folder / "diffusekrona.safetensors")
    return samples


def drawn(tiny: TinyPipeline, method: str) -> Adapter:
    """Return an adapter of random numbers."""
    adapter = tiny.draw(method, LAYERS, **_METHODS[method])
    adapter.provenance.facts |= {"trigger": "sks cat", "base": {"name": "tiny", "family": "sd"}}
    return adapter


def damage(sample: Sample, rng: np.random.Generator) -> str:
    """Damage one of a sample's files in place; return how."""
    file = sample.files[rng.integers(len(sample.files))]
    if file.suffix == ".json":
        ways: tuple[Callable[[Path, np.random.Generator], None], ...] = (_flip, _cut, _json_value, _remove)
    elif file.suffix != ".safetensors":
        ways = (_flip, _flip, _cut, _prolong, _swap, _text, _remove)
    else:
        ways = (_flip, _flip_in_header, _cut, _prolong, _header, _header, _metadata, _metadata, _swap, _remove)
    way = ways[rng.integers(len(ways))]
    way(file, rng)
    return f"{file.name} {way.__name__.strip('_')}"


def _flip(file: Path, rng: np.random.Generator) -> None:
    content = bytearray(file.read_bytes())
    for _ in range(rng.integers(1, 9)):
        content[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
    file.write_bytes(content)


def _flip_in_header(file: Path, rng: np.random.Generator) -> None:
    content = bytearray(file.read_bytes())
    end = 8 + struct.unpack("<Q", content[:8])[0]
    content[rng.integers(end)] = int(rng.integers(256))
    file.write_bytes(content)


def _cut(file: Path, rng: np.random.Generator) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: rng.integers(len(content))])


def _prolong(file: Path, rng: np.random.Generator) -> None:
    file.write_bytes(file.read_bytes() + rng.bytes(int(rng.integers(1, 64))))


def _swap(file: Path, rng: np.random.Generator) -> None:
    """Exchange two blocks of bytes."""
    content = bytearray(file.read_bytes())
    size = int(rng.integers(1, 65))
    one, other = (int(rng.integers(max(1, len(content) - size))) for _ in range(2))
    content[one : one + size], content[other : other + size] = content[other : other + size], content[one : one + size]
    file.write_bytes(content)


def _text(file: Path, rng: np.random.Generator) -> None:
    """Put something odd in the place of a word or number."""
    words = re.split(rb"([,;:\"\n]+)", file.read_bytes())
    words[rng.integers(len(words))] = str(_ODD[rng.integers(len(_ODD))])[:50].encode()
    file.write_bytes(b"".join(words))


def _remove(file: Path, rng: np.random.Generator) -> None:
    file.unlink()


def _json_value(file: Path, rng: np.random.Generator) -> None:
    content = json.loads(file.read_text())
    _change(content, rng)
    file.write_text(json.dumps(content))


def _header(file: Path, rng: np.random.Generator) -> None:
    """Change what a safetensors header says of a tensor."""
    header, body = _split(file)
    keys = [key for key in header if key != "__metadata__"]
    key = keys[rng.integers(len(keys))]
    entry = header[key]
    match int(rng.integers(6)):
        case 0:
            del header[key]
        case 1:
            header[keys[rng.integers(len(keys))]] = entry
        case 2:
            entry["shape"] = [int(rng.choice([0, 1, 2, 2**16, 2**40, *entry["shape"]])) for _ in range(rng.integers(5))]
        case 3:
            entry["dtype"] = _PRECISIONS[rng.integers(len(_PRECISIONS))]
        case 4:
            header[f"{key}{'.x' * int(rng.integers(1, 4))}"] = header.pop(key)
        case 5:
            entry["data_offsets"] = sorted(int(rng.integers(2 * len(body) + 2)) for _ in range(2))
    _join(file, header, body)


def _metadata(file: Path, rng: np.random.Generator) -> None:
    """Change what a file says of the adapter, in JSON inside JSON too."""
    header, body = _split(file)
    texts = header.setdefault("__metadata__", {})
    if not texts:
        texts["portraitist"] = "{}"
    name = list(texts)[rng.integers(len(texts))]
    try:
        content = json.loads(texts[name])
        _change(content, rng)
        texts[name] = json.dumps(content)
    except (ValueError, TypeError):
        texts[name] = str(_ODD[rng.integers(len(_ODD))])
    if rng.integers(8) == 0:
        del texts[name]
    _join(file, header, body)


def _change(content: Any, rng: np.random.Generator) -> None:
    """Put something odd in the place of a value, however deep."""
    while True:
        places = list(content) if isinstance(content, dict) else list(range(len(content)))
        if not places:
            return
        place = places[rng.integers(len(places))]
        if isinstance(content[place], dict | list) and content[place] and rng.integers(4):
            content = content[place]
            continue
        if rng.integers(5) == 0:
            del content[place]
        else:
            content[place] = _ODD[rng.integers(len(_ODD))]
        return


def _split(file: Path) -> tuple[dict[str, Any], bytes]:
    content = file.read_bytes()
    end = 8 + struct.unpack("<Q", content[:8])[0]
    return json.loads(content[8:end]), content[end:]


def _join(file: Path, header: dict[str, Any], body: bytes) -> None:
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    file.write_bytes(struct.pack("<Q", len(text)) + text + body)
