"""Adapters in files of other programs: recognising, reading and writing them. One file per format."""

from dataclasses import replace
from pathlib import Path

from portraitist.adapters.adapter import Adapter
from portraitist.adapters.algebra import bind, to_lora
from portraitist.adapters.foreign import recognise
from portraitist.adapters.formats.container import read_outline
from portraitist.adapters.formats.diffusekrona import DIFFUSEKRONA
from portraitist.adapters.formats.diffusers import DIFFUSERS
from portraitist.adapters.formats.format import Components, Export, Format
from portraitist.adapters.formats.kohya import KOHYA
from portraitist.adapters.formats.lycoris import LOKR
from portraitist.adapters.formats.native import NATIVE
from portraitist.adapters.formats.peft import PEFT
from portraitist.adapters.formats.svdiff_pytorch import SVDIFF_PYTORCH
from portraitist.errors import BadConfig, BadFile

__all__ = ["Components", "Export", "Format", "detect", "export", "get_format", "list_formats", "load_any"]

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


def detect(path: Path) -> Format:
    """Tell the format of a file or folder from names and headers alone.

    Raises:
        BadFile: If it is missing, damaged or of no known format; with a guess at what it is instead.
    """
    for each in _FORMATS:
        if each.sniff(path):
            return each
    if path.is_dir():
        raise BadFile(f"{path} is a folder without an adapter of any known format")
    outline = read_outline(path)
    raise BadFile(f"{path} seems to be {recognise(outline.shapes, outline.metadata)}, no adapter that can be read")


def load_any(path: Path, components: Components | None = None) -> Adapter:
    """Read an adapter of any known format, accounting for every key in its file.

    Args:
        path: A file, or a folder of PEFT, diffusers or svdiff-pytorch.
        components: The base's modules by component name. With them, names are looked up and shapes are checked at
            once; without, names are read by the rules of the known families. Spectral shifts need them.

    Raises:
        BadFile: If it cannot be read, does not fit the base, or holds keys that nothing would use.
    """
    return detect(path).load(path, components)


def export(
    adapter: Adapter, path: Path, format: str, components: Components | None = None, rank: int | None = None
) -> Export:
    """Write an adapter for another program.

    Methods that a LoRA format cannot hold are converted, exactly unless a rank is given.

    Args:
        adapter: The adapter.
        path: File or folder to write, as the format has it.
        format: The format's name.
        components: The base's modules; converting spectral shifts needs them.
        rank: Rank of the LoRA it is converted to; None takes the smallest that is exact.

    Raises:
        BadConfig: If the format is only read, or cannot hold the adapter in any form.
    """
    target = get_format(format)
    if target.save is None:
        raise BadConfig(f"the format {format} is only read, not written")
    if path.is_dir() and not target.folder:
        raise BadConfig(f"{path} is a folder; the format {format} is one file, so name that")
    if components is not None:
        bind(adapter, components)
    _refuse_bank(adapter)
    energy: dict[str, float] = {}
    dropped: tuple[str, ...] = ()
    if target.holds is not None:
        if "lora" in target.holds and (adapter.method.name != "lora" or rank is not None):
            conversion = to_lora(adapter, rank)
            adapter, energy, dropped = conversion.adapter, dict(conversion.energy), conversion.dropped
        adapter, left_out = _fitting(adapter, target)
        dropped = (*dropped, *left_out)
    target.save(adapter, path)
    return Export(path, format, adapter.method.name, energy, dropped)


def _refuse_bank(adapter: Adapter) -> None:
    for layer, params in adapter.parameters.items():
        shapes = adapter.layers[layer].shapes()
        if any(tuple(value.shape) != shapes[key] for key, value in params.items()):
            raise BadConfig("a bank of adapters cannot be written as one; choose one of them")


def _fitting(adapter: Adapter, target: Format) -> tuple[Adapter, tuple[str, ...]]:
    """Return the part of an adapter that a format can hold, and the names of the layers that it cannot."""
    assert target.holds is not None
    kinds = target.holds.get(adapter.method.name)
    if kinds is None:
        raise BadConfig(f"the format {target.name} holds {' or '.join(target.holds)}, not {adapter.method.name}")
    dropped = tuple(name for name, layer in adapter.layers.items() if layer.spec.kind not in kinds)
    if len(dropped) == len(adapter.layers):
        raise BadConfig(f"the format {target.name} can hold none of the adapter's layers, such as {dropped[0]}")
    kept = [name for name in adapter.layers if name not in set(dropped)]
    part = replace(
        adapter,
        layers={name: adapter.layers[name] for name in kept},
        parameters={name: adapter.parameters[name] for name in kept},
    )
    return part, dropped
