"""The native file of an adapter or a bank: ``.safetensors`` with JSON metadata, in which nothing is trusted."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from portraitist.adapters.adapter import Adapter
from portraitist.adapters.description import DRAWN, FORMAT, NOT_FINITE, Description, pack_specs, read_description
from portraitist.adapters.layer import AdapterLayer, SeededLayer
from portraitist.adapters.outline import LARGEST
from portraitist.adapters.space import Space
from portraitist.errors import BadConfig, BadFile
from portraitist.files import write_aside

# Sums of what an adapter's layers draw from a seed: how many, and how far they may be apart.
_DRAWN_SUMS, _DRAWN_APART = 8, 0.01


def save_adapter(adapter: Adapter, path: str | Path, dtype: torch.dtype | None = None, *, replace: bool = True) -> None:
    """Write an adapter, in a precision if one is given; the file appears complete or not at all.

    Args:
        adapter: The adapter.
        path: Its file.
        dtype: Precision of the numbers.
        replace: Take the place of a file that is there.

    Raises:
        BadConfig: If it is a bank, or its numbers are too large for the precision.
        UnwritableFolder: If it cannot be written, or a file that is not to be replaced is there.
    """
    if adapter.space.check(adapter.values) is not None:
        raise BadConfig(
            f"this is a bank of {adapter.bank_size} adapters; save_bank writes it, and unstack takes it apart"
        )
    write_file(adapter, Path(path), FORMAT, dtype, replace)


def write_file(adapter: Adapter, path: Path, format: str, dtype: torch.dtype | None, replace: bool = True) -> None:
    """Write an adapter or a bank under the name of its format."""
    tensors = {name: stored(name, tensor, dtype) for name, tensor in adapter.named_parameters().items()}
    with write_aside(path, replace) as temporary:
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
    if written is None:
        return True
    try:
        there = [float(number) for number in str(written).split()]
    except ValueError:
        return False
    if len(there) != _DRAWN_SUMS:
        return False
    here = _drawn_sums(layers)
    return here is None or all(abs(a - b) < _DRAWN_APART for a, b in zip(there, here, strict=True))


def _description(adapter: Adapter, format: str, drawn: Sequence[float] | None) -> dict[str, str]:
    """Return what stands in a file beside the numbers."""
    header = {
        "method": adapter.method.name,
        "config": adapter.method.plain_config(adapter.config),
        # In order of name; the names stand in the tensors' keys already.
        **pack_specs([spec for _, spec in sorted(adapter.space.specs.items())]),
        # All of one length, so that a file's size is known before the numbers are.
        **({} if drawn is None else {DRAWN: " ".join(f"{number:+010.4f}" for number in drawn)}),
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
    description = read_description(Path(path))
    description.require_single()
    space = read_space(description)
    return Adapter(space, read_values(description, space), description.provenance)


def read_space(description: Description) -> Space:
    """Return the space of the adapters in a file whose tensors have the shapes that it asks for.

    Raises:
        BadFile: If tensors are missing, nobody's, or of another shape; or if this machine draws other frozen numbers
            than the one that wrote it.
    """
    description.check_shapes()  # before anything is drawn
    space = Space.of(description.layout.name, description.config, description.specs.values())
    if not _same_draws(description.drawn, space.layers):
        raise BadFile(
            f"{description.path}: this machine draws other frozen bases than the one that wrote the file, so the"
            " adapter would mean something else here; read it with the version of torch it was written with"
        )
    return space


def read_values(
    description: Description, space: Space, numbers: Sequence[int] | None = None
) -> dict[str, dict[str, Tensor]]:
    """Read the values of a space from a file, those of a bank with its leading axis; half precisions become float32.

    Args:
        description: The file's.
        space: Its space, from `read_space`.
        numbers: Adapters of a bank, to read without the others.

    Raises:
        BadFile: If tensors are damaged or hold values that are not finite.
    """
    tensors = _read_tensors(description, numbers)
    return {
        layer: {key: nn.Parameter(tensors[f"{layer}.{key}"], requires_grad=False) for key in shapes}
        for layer, shapes in space.shapes.items()
    }


def is_usable(tensor: Tensor) -> bool:
    """Say whether all numbers are finite, and so far from the largest that products of some are finite too."""
    return bool((tensor.abs() < LARGEST).all())


def _read_tensors(description: Description, numbers: Sequence[int] | None) -> dict[str, Tensor]:
    path, tensors = description.path, {}
    try:
        with safe_open(path, framework="pt") as file:
            for key in description.tensors:
                part = file.get_slice(key)
                rows = None if numbers is None else [part[number : number + 1] for number in numbers]
                tensors[key] = file.get_tensor(key) if rows is None else torch.cat(rows)
    except SafetensorError as error:
        raise BadFile(f"{path} is damaged or cut short ({error}); get the file again") from error
    for key, tensor in tensors.items():
        if not is_usable(tensor):
            raise BadFile(f"{path}: {key} {NOT_FINITE}")
    return {key: tensor.to(torch.promote_types(tensor.dtype, torch.float32)) for key, tensor in tensors.items()}
