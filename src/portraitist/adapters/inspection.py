"""What a file is, told from its header: an adapter of this package in full, a file of others in outline."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from portraitist.adapters.files import FORMAT, check_container, layer_specs, read_header
from portraitist.adapters.foreign import recognise
from portraitist.errors import BadFile


@dataclass(frozen=True)
class Inspection:
    """A safetensors file in words and numbers.

    Attributes:
        path: The file.
        size: Bytes.
        seems: What it is, in a few words.
        tensors: How many tensors it holds.
        parameters: How many numbers.
        dtypes: Tensors of each precision, in the file's names (``F32``).
        layers: For an adapter, how many layers of each kind it changes, by component.
        header: For an adapter, what its header says: method, config, base, subject, trigger, recipe, training.
    """

    path: Path
    size: int
    seems: str
    tensors: int
    parameters: int
    dtypes: dict[str, int]
    layers: dict[str, dict[str, int]]
    header: dict[str, Any]

    @property
    def is_adapter(self) -> bool:
        """Say whether it is an adapter of this package."""
        return bool(self.header)

    def to_json(self) -> str:
        """Return everything as JSON."""
        facts = {
            "file": str(self.path),
            "bytes": self.size,
            "seems": self.seems,
            "tensors": self.tensors,
            "parameters": self.parameters,
            "dtypes": self.dtypes,
        }
        own = {"layers": self.layers, **self.header} if self.is_adapter else {}
        return json.dumps({**facts, **own}, indent=2)


def inspect_file(path: Path) -> Inspection:
    """Describe a safetensors file from its header; no tensor is read.

    Raises:
        BadFile: If it is missing, damaged or no safetensors file.
    """
    check_container(path)
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            slices = {key: file.get_slice(key) for key in file.keys()}  # noqa: SIM118 - safe_open is not a mapping
            shapes = {key: tuple(part.get_shape()) for key, part in slices.items()}
            dtypes = Counter(str(part.get_dtype()) for part in slices.values())
    except SafetensorError as error:
        raise BadFile(f"{path} is damaged or cut short ({error}); get the file again") from error
    header: dict[str, Any] = {}
    layers: dict[str, dict[str, int]] = {}
    seems = recognise(shapes, metadata)
    if metadata.get("format") == FORMAT:
        header = read_header(path)
        seems = f"a portraitist adapter ({header.get('method')})"
        layers = _count_layers(path, header)
    return Inspection(
        path=path,
        size=path.stat().st_size,
        seems=seems,
        tensors=len(shapes),
        parameters=sum(torch.Size(shape).numel() for shape in shapes.values()),
        dtypes=dict(dtypes),
        layers=layers,
        header={name: value for name, value in header.items() if name not in ("geometries", "layers")},
    )


def _count_layers(path: Path, header: dict[str, Any]) -> dict[str, dict[str, int]]:
    counts: dict[str, Counter[str]] = {}
    for spec in layer_specs(path, header):
        counts.setdefault(spec.name.partition(".")[0], Counter())[spec.kind.value] += 1
    return {component: dict(kinds) for component, kinds in counts.items()}
