"""What a file is: an adapter of any known format in full, any other safetensors file in outline."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from portraitist.adapters.adapter import Adapter
from portraitist.adapters.banks import load_bank
from portraitist.adapters.files import BANK_FORMAT
from portraitist.errors import BadFile, MissingBase
from portraitist.exchange.formats import Format, find_format
from portraitist.exchange.formats.native import NATIVE
from portraitist.exchange.naming import Components
from portraitist.exchange.recognising import recognise, recognise_base
from portraitist.exchange.tensor_files import Outline, read_outline


@dataclass(frozen=True)
class Inspection:
    """A file, or a folder with an adapter, in words and numbers.

    Attributes:
        path: The file or folder.
        size: Bytes.
        seems: What it is, in a few words.
        tensors: How many tensors it holds.
        parameters: How many numbers.
        dtypes: Tensors of each precision, in the file's names (``F32``).
        format: For an adapter, the name of its format.
        base: For an adapter, the base it names, or a guess from names and shapes; None without a clue.
        layers: For an adapter, how many layers of each kind it changes, by component.
        header: For an adapter, its method and config, and what its file says: base, subject, trigger, recipe, ...
        obstacle: Why an adapter was not understood without its base; None if it was.
    """

    path: Path
    size: int
    seems: str
    tensors: int
    parameters: int
    dtypes: dict[str, int]
    format: str | None
    base: str | None
    layers: dict[str, dict[str, int]]
    header: dict[str, Any]
    obstacle: str | None

    @property
    def is_adapter(self) -> bool:
        """Say whether it is an adapter that can be read."""
        return self.format is not None

    def to_json(self) -> str:
        """Return everything as JSON."""
        facts: dict[str, Any] = {
            "file": str(self.path),
            "bytes": self.size,
            "seems": self.seems,
            "tensors": self.tensors,
            "parameters": self.parameters,
            "dtypes": self.dtypes,
        }
        if self.is_adapter:
            facts |= {"format": self.format, "seems_for": self.base, "layers": self.layers, **self.header}
        return json.dumps(facts, indent=2)


def inspect_file(path: Path, components: Components | None = None) -> Inspection:
    """Describe a safetensors file, or a folder with an adapter.

    Adapters are read with the same checks as when they are used; of other files only the header is.

    Args:
        path: The file or folder.
        components: The base's modules, for files that cannot be understood without.

    Raises:
        BadFile: If it is missing, damaged, no safetensors file, or an adapter that nobody could use.
    """
    format = find_format(path)
    if format is None and path.is_dir():
        raise BadFile(f"{path} is a folder without an adapter of any known format")
    files = [path] if format is None else format.files(path)
    outlines = [read_outline(file) for file in files]
    adapter, obstacle = _load(path, format, components)
    return Inspection(
        path=path,
        size=sum(file.stat().st_size for file in files),
        seems=_seems(format, adapter, outlines),
        tensors=sum(len(outline.shapes) for outline in outlines),
        parameters=sum(torch.Size(shape).numel() for outline in outlines for shape in outline.shapes.values()),
        dtypes=dict(Counter(dtype for outline in outlines for dtype in outline.dtypes.values())),
        format=None if format is None else format.name,
        base=_base(adapter, outlines),
        layers={} if adapter is None else _count_layers(adapter),
        header={} if adapter is None else _header(adapter),
        obstacle=obstacle,
    )


def _load(path: Path, format: Format | None, components: Components | None) -> tuple[Adapter | None, str | None]:
    if format is None:
        return None, None
    if read_outline(format.files(path)[0]).metadata.get("format") == BANK_FORMAT:
        return load_bank(path), None
    try:
        return format.load(path, components), None
    except MissingBase as error:
        return None, str(error)


def _seems(format: Format | None, adapter: Adapter | None, outlines: list[Outline]) -> str:
    if format is NATIVE and adapter is not None:
        size = adapter.bank_size
        what = "a portraitist adapter" if size is None else f"a bank of {size} portraitist adapters"
        return f"{what} ({adapter.method.name})"
    return recognise(outlines[0].shapes, outlines[0].metadata)


def _base(adapter: Adapter | None, outlines: list[Outline]) -> str | None:
    """Return the base an adapter names, or seems to be for."""
    named = adapter.provenance.base if adapter is not None else None
    if named is not None and named.name is not None:
        return named.name
    weights = {} if adapter is None else {name: layer.spec.shape for name, layer in adapter.layers.items()}
    return recognise_base(weights, {key: text for outline in outlines for key, text in outline.metadata.items()})


def _header(adapter: Adapter) -> dict[str, Any]:
    config = adapter.method.plain_config(adapter.config)
    return {"method": adapter.method.name, "config": config, **adapter.provenance.facts}


def _count_layers(adapter: Adapter) -> dict[str, dict[str, int]]:
    counts: dict[str, Counter[str]] = {}
    for name, layer in adapter.layers.items():
        counts.setdefault(name.partition(".")[0], Counter())[layer.spec.kind.value] += 1
    return {component: dict(kinds) for component, kinds in counts.items()}
