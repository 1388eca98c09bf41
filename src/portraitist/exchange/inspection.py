"""What can be said of a file without torch: adapters of this package in full, and files that are no adapters."""

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from portraitist.adapters.description import BANK_FORMAT, FORMAT, NOT_FINITE, Description, read_description
from portraitist.adapters.layouts.layout import Layout, MethodConfig
from portraitist.adapters.outline import Outline, read_outline, tensors_not_finite
from portraitist.adapters.provenance import THUMBNAIL, Provenance
from portraitist.adapters.spec import LayerSpec
from portraitist.errors import BadFile
from portraitist.exchange.recognising import may_be_adapter, recognise, recognise_base
from portraitist.exchange.thumbnails import KEY, thumbnail_words

# The name of this package's own format.
NATIVE_NAME = "portraitist"


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
        thumbnail: The size of the picture that it is shown by; None if there is none.
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
    thumbnail: str | None

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
            **({} if self.thumbnail is None else {"thumbnail": self.thumbnail}),
        }
        if self.is_adapter:
            facts |= {"format": self.format, "seems_for": self.base, "layers": self.layers, **self.header}
        return json.dumps(facts, indent=2)


@dataclass(frozen=True)
class Contents:
    """What an adapter's file holds."""

    layout: Layout
    config: MethodConfig
    specs: Mapping[str, LayerSpec]
    provenance: Provenance

    @property
    def header(self) -> dict[str, Any]:
        """Return method and config, and what the file says in words."""
        config = self.layout.plain_config(self.config)
        facts = {name: value for name, value in self.provenance.facts.items() if name != THUMBNAIL}
        return {"method": self.layout.name, "config": config, **facts}

    @property
    def layers(self) -> dict[str, dict[str, int]]:
        """Count the layers of each kind, by component."""
        counts: dict[str, Counter[str]] = {}
        for name, spec in self.specs.items():
            counts.setdefault(name.partition(".")[0], Counter())[spec.kind.value] += 1
        return {component: dict(kinds) for component, kinds in counts.items()}


def describe_files(
    path: Path,
    files: Iterable[Path],
    outlines: Sequence[Outline],
    seems: str,
    format: str | None = None,
    contents: Contents | None = None,
    obstacle: str | None = None,
) -> Inspection:
    """Put together what is known of a file or folder.

    Args:
        path: The file or folder.
        files: The safetensors files that it consists of.
        outlines: Their headers.
        seems: What it is, in a few words.
        format: For an adapter, the name of its format.
        contents: For an adapter, what was read.
        obstacle: Why nothing was read.
    """
    return Inspection(
        path=path,
        size=sum(file.stat().st_size for file in files),
        seems=seems,
        tensors=sum(len(outline.shapes) for outline in outlines),
        parameters=sum(math.prod(shape) for outline in outlines for shape in outline.shapes.values()),
        dtypes=dict(Counter(dtype for outline in outlines for dtype in outline.dtypes.values())),
        format=format,
        base=_find_base(contents, outlines),
        layers={} if contents is None else contents.layers,
        header={} if contents is None else contents.header,
        obstacle=obstacle,
        thumbnail=_find_thumbnail(contents, outlines),
    )


def describe_native(outline: Outline, description: Description) -> Inspection:
    """Put together what is known of a file of this package."""
    size, path = description.bank_size, description.path
    what = "a portraitist adapter" if size is None else f"a bank of {size} portraitist adapters"
    contents = Contents(description.layout, description.config, description.specs, description.provenance)
    return describe_files(path, [path], [outline], f"{what} ({description.layout.name})", NATIVE_NAME, contents)


def inspect_quickly(path: Path) -> Inspection | None:
    """Describe a file if that needs no torch; None for adapters of other programs, and for those that draw numbers.

    Adapters are checked as when they are used; of files that are no adapters only the header is read.

    Raises:
        BadFile: If it is missing, damaged, no safetensors file, or an adapter that nobody could use.
    """
    if path.is_dir():
        return None
    outline = read_outline(path)
    format = outline.metadata.get("format")
    if format not in (FORMAT, BANK_FORMAT):
        seems = recognise(outline.shapes, outline.metadata)
        return None if may_be_adapter(outline.shapes) else describe_files(path, [path], [outline], seems)
    description = read_description(path, outline)
    if description.layout.seeded:
        return None
    if format == BANK_FORMAT:
        description.require_bank()
    else:
        description.require_single()
    description.check_shapes()
    for key in tensors_not_finite(path):
        raise BadFile(f"{path}: {key} {NOT_FINITE}")
    return describe_native(outline, description)


def _find_thumbnail(contents: Contents | None, outlines: Sequence[Outline]) -> str | None:
    """Say how large the picture in a file is; it is never shown raw."""
    own = [] if contents is None else [contents.provenance.facts.get(THUMBNAIL)]
    noted = [*own, *(outline.metadata.get(KEY) for outline in outlines)]
    return next((thumbnail_words(uri) for uri in noted if uri is not None), None)


def _find_base(contents: Contents | None, outlines: Sequence[Outline]) -> str | None:
    """Return the base an adapter names, or seems to be for."""
    named = contents.provenance.base if contents is not None else None
    if named is not None and named.name is not None:
        return named.name
    weights = {} if contents is None else {name: spec.shape for name, spec in contents.specs.items()}
    return recognise_base(weights, {key: text for outline in outlines for key, text in outline.metadata.items()})
