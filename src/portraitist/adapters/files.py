"""The native file of an adapter or a bank: ``.safetensors`` with JSON metadata, in which nothing is trusted."""

import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from portraitist.adapters.adapter import Adapter
from portraitist.adapters.layer import AdapterLayer, Kind, LayerSpec, SeededLayer
from portraitist.adapters.provenance import Provenance
from portraitist.adapters.space import Space
from portraitist.errors import BadConfig, BadFile
from portraitist.files import write_aside
from portraitist.units import counted, first_few

FORMAT, BANK_FORMAT = "portraitist-adapter-1", "portraitist-bank-1"
# No layer of a known model holds more numbers, or is wider; what claims to be is an attack or damage.
LAYER_LIMIT, WIDTH_LIMIT = 2**29, 2**20
_HEADER_LIMIT = 64 * 2**20
# Sums of what an adapter's layers draw from a seed: their name in the header, how many, and how far they may be apart.
_DRAWN, _DRAWN_SUMS, _DRAWN_APART = "drawn_sums", 8, 0.01


def save_adapter(adapter: Adapter, path: str | Path, dtype: torch.dtype | None = None) -> None:
    """Write an adapter, in a precision if one is given; the file appears complete or not at all.

    Raises:
        BadConfig: If it is a bank, or its numbers are too large for the precision.
    """
    if adapter.space.check(adapter.values) is not None:
        raise BadConfig(
            f"this is a bank of {adapter.bank_size} adapters; save_bank writes it, and unstack takes it apart"
        )
    write_file(adapter, Path(path), FORMAT, dtype)


def write_file(adapter: Adapter, path: Path, format: str, dtype: torch.dtype | None) -> None:
    """Write an adapter or a bank under the name of its format."""
    tensors = {name: stored(name, tensor, dtype) for name, tensor in adapter.named_parameters().items()}
    with write_aside(path) as temporary:
        save_file(tensors, temporary, metadata=_description(adapter, format, _drawn_sums(adapter.layers)))


def file_size(adapter: Adapter) -> int:
    """Return how many bytes an adapter's file in float32 has; its numbers need not exist.

    A file of safetensors is the length of its header, the header in JSON (padded to 8 bytes), and the numbers.
    """
    draws = any(isinstance(layer, SeededLayer) for layer in adapter.layers.values())
    sums = [0.0] * _DRAWN_SUMS if draws else None
    header: dict[str, Any] = {"__metadata__": _description(adapter, FORMAT, sums)}
    end = 0
    for name, tensor in adapter.named_parameters().items():
        start, end = end, end + 4 * tensor.numel()
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [start, end]}
    text = len(json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode())
    return 8 + -(-text // 8) * 8 + end


def _drawn_sums(layers: Mapping[str, AdapterLayer]) -> list[float] | None:
    """Return a few sums over what the layers of an adapter draw instead of storing it; None if they draw nothing.

    Sums instead of a hash, since the last digits of a decomposition differ between machines.
    """
    drawing = [layer for _, layer in sorted(layers.items()) if isinstance(layer, SeededLayer)]
    if not drawing:
        return None
    numbers = torch.cat([layer.drawn().double() for layer in drawing])
    return [float(numbers[start::_DRAWN_SUMS].sum()) for start in range(_DRAWN_SUMS)]


def _same_draws(written: Any, layers: Mapping[str, AdapterLayer]) -> bool:
    """Say whether this machine draws what a file says was drawn; files of earlier versions say nothing."""
    here = _drawn_sums(layers)
    if written is None or here is None:
        return True
    try:
        there = [float(number) for number in str(written).split()]
    except ValueError:
        return False
    return len(there) == len(here) and all(abs(a - b) < _DRAWN_APART for a, b in zip(there, here, strict=True))


def _description(adapter: Adapter, format: str, drawn: Sequence[float] | None) -> dict[str, str]:
    """Return what stands in a file beside the numbers."""
    header = {
        "method": adapter.method.name,
        "config": adapter.method.plain_config(adapter.config),
        **_pack_specs(list(adapter.space.specs.values())),
        # All of one length, so that a file's size is known before the numbers are.
        **({} if drawn is None else {_DRAWN: " ".join(f"{number:+010.4f}" for number in drawn)}),
        **adapter.provenance.facts,
    }
    return {"format": format, "portraitist": json.dumps(header)}


def stored(key: str, tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    """Return a tensor as it goes into a file: on the CPU, contiguous, in a precision if one is given.

    Raises:
        BadConfig: If its numbers are too large for the precision.
    """
    tensor = tensor.detach().cpu()
    ready = tensor.to(dtype or tensor.dtype).contiguous()
    if dtype is not None and not torch.isfinite(ready).all() and torch.isfinite(tensor).all():
        raise BadConfig(f"{key} holds numbers too large for {dtype}; bfloat16 and float32 have room for them")
    return ready


def load_adapter(path: str | Path) -> Adapter:
    """Read an adapter file, accounting for every key; half precisions become float32.

    Raises:
        BadFile: If the file is missing, damaged, foreign, a bank, holds tensors of other shapes than its method asks
            for, holds values that are not finite, or holds keys that nothing would use; or if this machine draws other
            frozen numbers than the one that wrote it.
    """
    path = Path(path)
    space, provenance = read_space(path)
    size = stored_bank_size(path, space)
    if size is not None:
        raise BadFile(f"{path} is a bank of {size} adapters; load_bank reads it, and unstack takes it apart")
    return Adapter(space, read_values(path, space), provenance)


def read_header(path: Path) -> dict[str, Any]:
    """Read an adapter or bank file's description without its tensors.

    Raises:
        BadFile: If the file is missing, damaged or no adapter of this package.
    """
    check_container(path)
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise BadFile(f"{path} is damaged or cut short ({error}); get the file again") from error
    if metadata.get("format") not in (FORMAT, BANK_FORMAT):
        raise BadFile(f"{path} is a safetensors file but not a portraitist adapter")
    try:
        header = json.loads(metadata["portraitist"])
    except (KeyError, ValueError, RecursionError) as error:
        raise BadFile(f"{path}: the adapter's description is unreadable ({error})") from error
    if not isinstance(header, dict):
        raise BadFile(f"{path}: the adapter's description is unreadable")
    return header


def read_space(path: Path) -> tuple[Space, Provenance]:
    """Read what an adapter or bank file says of its space and of itself, without its tensors.

    Raises:
        BadFile: If the file is missing, damaged or foreign, or this machine draws other frozen numbers than the one
            that wrote it.
    """
    header = read_header(path)
    try:
        method, config = header.pop("method"), {**header.pop("config")}
        specs = _unpack_specs(_layer_names(path), header.pop("geometries"), header.pop("layers"))
        space = Space.of(str(method), config, specs)
    except (BadConfig, KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise BadFile(f"{path}: the adapter's description is damaged or from a newer version ({error})") from error
    if not _same_draws(header.pop(_DRAWN, None), space.layers):
        raise BadFile(
            f"{path}: this machine draws other frozen bases than the one that wrote the file, so the adapter would"
            " mean something else here; read it with the version of torch it was written with"
        )
    return space, Provenance(header)


def check_container(path: Path) -> None:
    """Refuse what is plainly no safetensors file, before any library reads it.

    Raises:
        BadFile: With the reason.
    """
    if not path.is_file():
        raise BadFile(f"{path} does not exist" if not path.exists() else f"{path} is a folder, not an adapter file")
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
    if len(start) < 8:
        raise BadFile(f"{path} is empty or cut short ({size} bytes)")
    header = struct.unpack("<Q", start)[0]
    if header > min(size - 8, _HEADER_LIMIT):
        if start[:4] == b"PK\x03\x04" or start[:1] == b"\x80":
            raise BadFile(
                f"{path} is a pickle, which can run code when opened; if you trust it, convert it to safetensors first"
            )
        raise BadFile(f"{path} is not a safetensors file, or is cut short (its header claims {header} bytes of {size})")


def stored_bank_size(path: Path, space: Space) -> int | None:
    """Return how many adapters of a space a file holds, None if it holds a single one; the first tensor tells."""
    with safe_open(path, framework="pt") as file:
        keys = set(file.keys())
        for layer, shapes in space.shapes.items():
            for key, shape in shapes.items():
                if (name := f"{layer}.{key}") in keys:
                    found = file.get_slice(name).get_shape()
                    return found[0] if len(found) > len(shape) else None
    return None


def read_values(path: Path, space: Space, numbers: Sequence[int] | None = None) -> dict[str, dict[str, Tensor]]:
    """Read the values of a space from a file, those of a bank with its leading axis; half precisions become float32.

    Args:
        path: The file.
        space: What its header describes.
        numbers: Adapters of a bank, to read without the others.

    Raises:
        BadFile: If tensors are missing, nobody's, of another shape, or hold values that are not finite.
    """
    size = stored_bank_size(path, space)
    expected = {
        f"{layer}.{key}": shape if size is None else (size, *shape)
        for layer, shapes in space.shapes.items()
        for key, shape in shapes.items()
    }
    tensors = _read_tensors(path, expected, numbers)
    return {
        layer: {key: nn.Parameter(tensors[f"{layer}.{key}"], requires_grad=False) for key in shapes}
        for layer, shapes in space.shapes.items()
    }


def _read_tensors(
    path: Path, expected: Mapping[str, tuple[int, ...]], numbers: Sequence[int] | None
) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework="pt") as file:
            keys = set(file.keys())
            if unknown := sorted(keys - expected.keys()):
                raise BadFile(
                    f"{path} holds {counted(len(unknown), 'tensor')} that its method does not use: {first_few(unknown)}"
                )
            if missing := sorted(expected.keys() - keys):
                raise BadFile(
                    f"{path} lacks {counted(len(missing), 'tensor')} that its method needs: {first_few(missing)}"
                )
            tensors = {}
            for key, shape in expected.items():
                part = file.get_slice(key)
                found = tuple(part.get_shape())
                if found != shape:
                    raise BadFile(f"{path}: {key} has shape {found} where {shape} is needed")
                rows = None if numbers is None else [part[number : number + 1] for number in numbers]
                tensors[key] = file.get_tensor(key) if rows is None else torch.cat(rows)
    except SafetensorError as error:
        raise BadFile(f"{path} is damaged or cut short ({error}); get the file again") from error
    for key, tensor in tensors.items():
        if not tensor.is_floating_point() or not torch.isfinite(tensor).all():
            raise BadFile(f"{path}: {key} holds values that are not finite numbers; the run that wrote it diverged")
    return {key: tensor.to(torch.promote_types(tensor.dtype, torch.float32)) for key, tensor in tensors.items()}


def _layer_names(path: Path) -> list[str]:
    """Return the layers a file's tensors belong to, sorted."""
    with safe_open(path, framework="pt") as file:
        return sorted({key.rpartition(".")[0] for key in file.keys()})  # noqa: SIM118 - safe_open is not a mapping


def _pack_specs(specs: list[LayerSpec]) -> dict[str, Any]:
    """Describe layers in few bytes: the distinct geometries, and which of them each layer has, in order of name.

    The names themselves stand in the tensors' keys already.
    """
    ordered = sorted(specs, key=lambda spec: spec.name)
    geometries = list(dict.fromkeys(_geometry(spec) for spec in ordered))
    return {"geometries": geometries, "layers": [geometries.index(_geometry(spec)) for spec in ordered]}


def _unpack_specs(names: list[str], geometries: list[str], layers: list[int]) -> list[LayerSpec]:
    if len(names) != len(layers):
        raise ValueError(f"{len(layers)} layers are described, but {len(names)} are stored")
    return [_spec(name, geometries[index]) for name, index in zip(names, layers, strict=True)]


def _geometry(spec: LayerSpec) -> str:
    """Write a spec without its name, e.g. ``conv 8x3x3x3 1x1 1x1 1x1 1 8``."""
    parts = [spec.shape, spec.stride, spec.padding, spec.dilation, (spec.groups,), spec.bias or ()]
    if spec.kind is Kind.TRANSPOSED:
        parts.append(spec.output_padding)
    return " ".join([spec.kind.value, *("x".join(map(str, part)) or "-" for part in parts)])


def _spec(name: str, geometry: str) -> LayerSpec:
    kind, *parts = geometry.split(" ")
    shape, stride, padding, dilation, groups, bias, *more = (
        () if part == "-" else tuple(int(number) for number in part.split("x")) for part in parts
    )
    if min(shape) < 1 or max(shape) > WIDTH_LIMIT or torch.Size(shape).numel() > LAYER_LIMIT:
        raise ValueError(f"{name} would have a weight of shape {shape}, which no layer has")
    return LayerSpec(name, Kind(kind), shape, stride, padding, dilation, groups[0], bias or None, *more)
