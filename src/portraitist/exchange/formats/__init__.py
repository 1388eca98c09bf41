"""The formats of adapter files, one module each, in the order in which they are tried."""

from pathlib import Path

from portraitist.adapters.outline import read_outline
from portraitist.errors import BadConfig, BadFile
from portraitist.exchange.formats.diffusekrona import DIFFUSEKRONA
from portraitist.exchange.formats.diffusers import DIFFUSERS
from portraitist.exchange.formats.format import Format
from portraitist.exchange.formats.kohya import KOHYA
from portraitist.exchange.formats.loha import LOHA
from portraitist.exchange.formats.lycoris import LOKR
from portraitist.exchange.formats.native import NATIVE
from portraitist.exchange.formats.peft import PEFT
from portraitist.exchange.formats.svdiff_pytorch import SVDIFF_PYTORCH
from portraitist.exchange.formats.xlabs import XLABS
from portraitist.exchange.recognising import recognise

__all__ = ["Format", "detect", "find_format", "get_format", "list_formats"]

# Programs that people know, and the format that each reads.
_PROGRAMS = {
    "a1111": "kohya",
    "automatic1111": "kohya",
    "comfyui": "kohya",
    "forge": "kohya",
    "invokeai": "kohya",
    "sd-scripts": "kohya",
}

_FORMATS = (NATIVE, DIFFUSERS, PEFT, KOHYA, LOKR, LOHA, SVDIFF_PYTORCH, DIFFUSEKRONA, XLABS)


def list_formats() -> list[Format]:
    """Return all formats, the native one first."""
    return list(_FORMATS)


def get_format(name: str) -> Format:
    """Return a format by name.

    Raises:
        BadConfig: If there is none, naming those there are.
    """
    plain = name.lower()
    for known in _FORMATS:
        if known.name == _PROGRAMS.get(plain, plain):
            return known
    raise BadConfig(
        f"unknown format {name!r}; choose one of {', '.join(known.name for known in _FORMATS)}, or a program that reads"
        f" it: {', '.join(_PROGRAMS)}"
    )


def find_format(path: Path) -> Format | None:
    """Tell the format of a file or folder from names and headers alone; None if it is no adapter that can be read.

    Raises:
        BadFile: If it is missing, damaged or no safetensors file.
    """
    return next((known for known in _FORMATS if known.sniff(path)), None)


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
    raise BadFile(f"{path} seems to be {recognise(outline.shapes, outline.metadata)}, not an adapter that can be read")
