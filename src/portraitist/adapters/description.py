"""What a native file says of the adapter in it, held against the shapes of its tensors. Needs no torch."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from portraitist.adapters.layouts import get_layout
from portraitist.adapters.layouts.layout import Layout, MethodConfig
from portraitist.adapters.outline import FLOATS, Outline, read_outline
from portraitist.adapters.provenance import Provenance
from portraitist.adapters.spec import Kind, LayerSpec, Shape
from portraitist.errors import BadConfig, BadFile
from portraitist.units import counted, first_few

FORMAT, BANK_FORMAT = "portraitist-adapter-1", "portraitist-bank-1"
# The name in the header of sums of what an adapter's layers draw from a seed.
DRAWN = "drawn_sums"
# What is wrong with a tensor of a run that diverged.
NOT_FINITE = "holds values that are not finite numbers, or too large to compute with; the run that wrote it diverged"
# No layer of a known model holds more numbers, or is wider; what claims to be is an attack or damage.
LAYER_LIMIT, WIDTH_LIMIT = 2**29, 2**20
# Nor does an adapter of a known model draw more numbers from a seed, in all and for each one that it stores: the bases
# of LiDB are as many times larger than its factors as layers are wide.
DRAWN_LIMIT, DRAWN_SHARE = 2**30, 2**14
_AXES = {Kind.LINEAR: 2, Kind.CONV: 4, Kind.TRANSPOSED: 4, Kind.NORM: 1, Kind.EMBEDDING: 2}


@dataclass(frozen=True)
class Description:
    """What the header of an adapter or bank file says.

    Attributes:
        path: The file.
        layout: The method's layout.
        config: The method's configuration.
        specs: The adapted layers by name.
        bank_size: How many adapters it holds, None for a single one.
        tensors: The shapes that its tensors must have, with a bank axis if it is a bank.
        found: Those that they have.
        dtypes: Their precisions, in the file's names (``F32``).
        drawn: Sums of what the layers drew from a seed where it was written; None if it does not say.
        provenance: What it says of the adapter.
    """

    path: Path
    layout: Layout
    config: MethodConfig
    specs: Mapping[str, LayerSpec]
    bank_size: int | None
    tensors: Mapping[str, Shape]
    found: Mapping[str, Shape]
    dtypes: Mapping[str, str]
    drawn: Any
    provenance: Provenance

    def require_single(self) -> None:
        """Refuse a bank.

        Raises:
            BadFile: If it is one.
        """
        if self.bank_size is not None:
            raise BadFile(
                f"{self.path} is a bank of {self.bank_size} adapters; load_bank reads it, and unstack takes it apart"
            )

    def require_bank(self) -> int:
        """Return how many adapters the bank holds.

        Raises:
            BadFile: If it is a single adapter.
        """
        if self.bank_size is None:
            raise BadFile(f"{self.path} holds a single adapter, not a bank of several; load_adapter reads it")
        return self.bank_size

    def check_shapes(self) -> None:
        """Hold the tensors of the file against what its method needs.

        Raises:
            BadFile: If tensors are missing, nobody's, of another shape, or no floating-point numbers that can be read.
        """
        if unknown := sorted(self.found.keys() - self.tensors.keys()):
            count, names = counted(len(unknown), "tensor"), first_few(unknown)
            raise BadFile(f"{self.path} holds {count} that its method does not use: {names}")
        if missing := sorted(self.tensors.keys() - self.found.keys()):
            count, names = counted(len(missing), "tensor"), first_few(missing)
            raise BadFile(f"{self.path} lacks {count} that its method needs: {names}")
        for key, shape in self.tensors.items():
            if self.found[key] != shape:
                raise BadFile(f"{self.path}: {key} has shape {self.found[key]} where {shape} is needed")
            if self.dtypes[key] not in FLOATS:
                raise BadFile(f"{self.path}: {key} is stored as {self.dtypes[key]}; {', '.join(FLOATS)} can be read")


def read_header(path: Path) -> dict[str, Any]:
    """Read an adapter or bank file's description without its tensors.

    Raises:
        BadFile: If the file is missing, damaged or no adapter of this package.
    """
    return _parse_header(path, read_outline(path))


def read_description(path: Path, outline: Outline | None = None) -> Description:
    """Read what an adapter or bank file says, without its tensors' numbers.

    Args:
        path: The file.
        outline: Its header, if it was read before.

    Raises:
        BadFile: If the file is missing, damaged or foreign.
    """
    outline = outline or read_outline(path)
    header = _parse_header(path, outline)
    try:
        layout, config = get_layout(str(header.pop("method"))), {**header.pop("config")}
        names = sorted({key.rpartition(".")[0] for key in outline.shapes})
        specs = unpack_specs(names, header.pop("geometries"), header.pop("layers"))
        settings = layout.parse_config(config)
        _check_work(layout, settings, specs)
        shapes = {
            f"{name}.{key}": shape
            for name, spec in specs.items()
            for key, shape in layout.layer_shapes(spec, settings).items()
        }
    except (BadConfig, KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise BadFile(f"{path}: the adapter's description is damaged or from a newer version ({error})") from error
    size = _bank_size(shapes, outline.shapes)
    tensors = shapes if size is None else {key: (size, *shape) for key, shape in shapes.items()}
    drawn = header.pop(DRAWN, None)
    return Description(
        path, layout, settings, specs, size, tensors, outline.shapes, outline.dtypes, drawn, Provenance(header)
    )


def _check_work(layout: Layout, config: MethodConfig, specs: Mapping[str, LayerSpec]) -> None:
    """Refuse layers for which more would be drawn from a seed than what they store can be meant for.

    Raises:
        ValueError: If there are such.
    """
    drawn = sum(layout.drawn_numbers(spec, config) for spec in specs.values())
    stored = sum(math.prod(shape) for spec in specs.values() for shape in layout.layer_shapes(spec, config).values())
    if drawn > min(DRAWN_LIMIT, DRAWN_SHARE * stored):
        raise ValueError(f"its {stored:,} numbers would need {drawn:,} more that are drawn from a seed")


def _parse_header(path: Path, outline: Outline) -> dict[str, Any]:
    if outline.metadata.get("format") not in (FORMAT, BANK_FORMAT):
        raise BadFile(f"{path} is a safetensors file but not a portraitist adapter")
    try:
        header = json.loads(outline.metadata["portraitist"])
    except (KeyError, ValueError, RecursionError) as error:
        raise BadFile(f"{path}: the adapter's description is unreadable ({error})") from error
    if not isinstance(header, dict):
        raise BadFile(f"{path}: the adapter's description is unreadable")
    return header


def _bank_size(single: Mapping[str, Shape], found: Mapping[str, Shape]) -> int | None:
    """Return how many adapters a file holds, None if it holds a single one; the first tensor tells."""
    for key, shape in single.items():
        if key in found:
            return found[key][0] if len(found[key]) > len(shape) else None
    return None


def pack_specs(specs: Sequence[LayerSpec]) -> dict[str, Any]:
    """Describe layers in few bytes, but for their names: the distinct geometries, and which of them each layer has."""
    geometries = list(dict.fromkeys(_geometry(spec) for spec in specs))
    return {"geometries": geometries, "layers": [geometries.index(_geometry(spec)) for spec in specs]}


def unpack_specs(names: Sequence[str], geometries: Sequence[str], layers: Sequence[int]) -> dict[str, LayerSpec]:
    """Return the layers that `pack_specs` described, by name.

    Raises:
        ValueError: If there are more or fewer than names, or one is of no size that a layer has.
    """
    if len(names) != len(layers):
        raise ValueError(f"{len(layers)} layers are described, but {len(names)} are stored")
    return {name: _spec(name, geometries[index]) for name, index in zip(names, layers, strict=True)}


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
    if len(shape) != _AXES[Kind(kind)]:
        raise ValueError(f"{name} would be a {kind} layer with a weight of shape {shape}")
    if min(shape) < 1 or max(shape) > WIDTH_LIMIT or math.prod(shape) > LAYER_LIMIT:
        raise ValueError(f"{name} would have a weight of shape {shape}, which no layer has")
    return LayerSpec(name, Kind(kind), shape, stride, padding, dilation, groups[0], bias or None, *more)
