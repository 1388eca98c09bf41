"""Adapters in files of other programs: recognising, reading and writing them. One file per format."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch

from portraitist.adapters.adapter import Adapter
from portraitist.adapters.algebra import bind, to_lora
from portraitist.adapters.foreign import recognise
from portraitist.adapters.formats.container import own_facts, read_outline
from portraitist.adapters.formats.diffusekrona import DIFFUSEKRONA
from portraitist.adapters.formats.diffusers import DIFFUSERS
from portraitist.adapters.formats.format import Components, Export, Format
from portraitist.adapters.formats.kohya import KOHYA
from portraitist.adapters.formats.lycoris import LOKR
from portraitist.adapters.formats.native import NATIVE
from portraitist.adapters.formats.peft import PEFT
from portraitist.adapters.formats.svdiff_pytorch import SVDIFF_PYTORCH
from portraitist.adapters.layer import Kind
from portraitist.adapters.provenance import Provenance
from portraitist.errors import BadConfig, BadFile

__all__ = [
    "Components",
    "Export",
    "Format",
    "detect",
    "export",
    "find_format",
    "get_format",
    "list_formats",
    "load_any",
    "read_provenance",
]

_FORMATS = (NATIVE, DIFFUSERS, PEFT, KOHYA, LOKR, SVDIFF_PYTORCH, DIFFUSEKRONA)


def list_formats() -> list[Format]:
    """Return all formats, the native one first."""
    return list(_FORMATS)


def get_format(name: str) -> Format:
    """Return a format by name.

    Raises:
        BadConfig: If there is none, naming those there are.
    """
    for each in _FORMATS:
        if each.name == name:
            return each
    raise BadConfig(f"unknown format {name!r}; choose one of {', '.join(each.name for each in _FORMATS)}")


def find_format(path: Path) -> Format | None:
    """Tell the format of a file or folder from names and headers alone; None if it is no adapter that can be read.

    Raises:
        BadFile: If it is missing, damaged or no safetensors file.
    """
    return next((each for each in _FORMATS if each.sniff(path)), None)


def detect(path: Path) -> Format:
    """Tell the format of a file or folder from names and headers alone.

    Raises:
        BadFile: If it is missing, damaged or of no known format; with a guess at what it is instead.
    """
    found = find_format(path)
    if found is not None:
        return found
    if path.is_dir():
        raise BadFile(f"{path} is a folder without an adapter of any known format")
    outline = read_outline(path)
    raise BadFile(f"{path} seems to be {recognise(outline.shapes, outline.metadata)}, no adapter that can be read")


def read_provenance(path: Path) -> Provenance:
    """Return what this package noted in an adapter's file (base, trigger, recipe, ...); nothing for files of others.

    Raises:
        BadFile: If it is no adapter, or damaged.
    """
    file = detect(path).files(path)[0]
    return Provenance(own_facts(file, read_outline(file).metadata))


def load_any(path: Path, components: Components | None = None) -> Adapter:
    """Read an adapter of any known format, accounting for every key in its file.

    Args:
        path: A file, or a folder of PEFT, diffusers or svdiff-pytorch.
        components: The base's modules by component name. With them, names are looked up and shapes are checked at
            once; without, names are read by the rules of the known families.

    Raises:
        BadFile: If it cannot be read, does not fit the base, or holds keys that nothing would use.
        MissingBase: If it cannot be understood without the base, as spectral shifts of others.
    """
    return detect(path).load(path, components)


def export(
    adapter: Adapter,
    path: Path,
    format: str,
    components: Components | None = None,
    rank: int | None = None,
    dtype: torch.dtype | None = None,
) -> Export:
    """Write an adapter for another program.

    Methods that a LoRA format cannot hold are converted, exactly unless a rank is given. With a rank, a file of this
    package holds a LoRA too.

    Args:
        adapter: The adapter.
        path: File or folder to write, as the format has it.
        format: The format's name.
        components: The base's modules; converting spectral shifts needs them.
        rank: Highest rank of the LoRA it is converted to; None takes what is exact.
        dtype: Precision of the numbers; None keeps the adapter's.

    Raises:
        BadConfig: If the format is only read, or cannot hold the adapter in any form; with those that can.
        MissingBase: If it cannot be converted without its base.
    """
    target = get_format(format)
    save = target.save
    if save is None or not _can_hold(target, adapter):
        reason = "is only read, not written" if save is None else f"cannot hold this {adapter.method.name} adapter"
        able = ", ".join(each.name for each in _FORMATS if _can_hold(each, adapter))
        raise BadConfig(f"the format {format} {reason}; choose {able}")
    if rank is not None and "lora" not in (target.holds or ["lora"]):
        raise BadConfig(f"a rank is for LoRA, which the format {format} does not hold; leave the rank away")
    if path.is_dir() and not target.folder:
        raise BadConfig(f"{path} is a folder; the format {format} is one file, so name that")
    if adapter.space.check(adapter.values) is not None:
        raise BadConfig("a bank of adapters cannot be written as one; choose one of them")
    energy: dict[str, float] = {}
    dropped: tuple[str, ...] = ()
    if rank is not None or (target.holds is not None and adapter.method.name not in target.holds):
        conversion = to_lora(adapter if components is None else bind(adapter, components), rank)
        adapter, energy, dropped = conversion.adapter, dict(conversion.energy), conversion.dropped
    if target.holds is not None:
        adapter, left_out = _fitting(adapter, target.holds)
        dropped = (*dropped, *left_out)
    save(adapter, path, dtype)
    return Export(path, format, adapter, energy, dropped)


def _can_hold(target: Format, adapter: Adapter) -> bool:
    """Say whether a format can hold a part of an adapter at least, perhaps as LoRA."""
    if target.save is None or target.holds is None:
        return target.save is not None
    kinds = target.holds.get(adapter.method.name, target.holds.get("lora", frozenset()))
    return any(layer.spec.kind in kinds for layer in adapter.layers.values())


def _fitting(adapter: Adapter, holds: Mapping[str, frozenset[Kind]]) -> tuple[Adapter, tuple[str, ...]]:
    """Return the part of an adapter that a format can hold, and the names of the layers that it cannot."""
    kinds = holds[adapter.method.name]
    kept = adapter.space.only(name for name, spec in adapter.space.specs.items() if spec.kind in kinds)
    part = replace(adapter, space=kept, values={name: adapter.values[name] for name in kept.layers})
    return part, tuple(name for name in adapter.layers if name not in kept.layers)
