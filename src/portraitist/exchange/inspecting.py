"""What a file is: an adapter of any known format in full, any other safetensors file in outline."""

from pathlib import Path

from portraitist.adapters.adapter import Adapter
from portraitist.adapters.banks import load_bank
from portraitist.adapters.description import BANK_FORMAT, read_description
from portraitist.adapters.files import load_adapter
from portraitist.adapters.outline import Outline, read_outline
from portraitist.errors import BadFile, MissingBase
from portraitist.exchange.formats import find_format
from portraitist.exchange.formats.diffusekrona import DIFFUSEKRONA
from portraitist.exchange.formats.native import NATIVE
from portraitist.exchange.inspection import Contents, Inspection, describe_files, describe_native, inspect_quickly
from portraitist.exchange.naming import Components
from portraitist.exchange.recognising import recognise


def inspect_file(path: Path, components: Components | None = None) -> Inspection:
    """Describe a safetensors file, or a folder with an adapter.

    Adapters are read with the same checks as when they are used; of other files only the header is.

    Args:
        path: The file or folder.
        components: The base's modules, for files that cannot be understood without.

    Raises:
        BadFile: If it is missing, damaged, no safetensors file, or an adapter that nobody could use.
    """
    quick = inspect_quickly(path)
    if quick is not None:
        return quick
    format = find_format(path)
    if format is None and path.is_dir():
        raise BadFile(f"{path} is a folder without an adapter of any known format")
    files = [path] if format is None else format.files(path)
    outlines = [read_outline(file) for file in files]
    if format is NATIVE:
        _read_native(path, outlines[0])
        return describe_native(outlines[0], read_description(path, outlines[0]))
    if format is DIFFUSEKRONA:  # has the names of an old LoRA; only the shapes tell
        seems = "a Kronecker adapter of the published DiffuseKronA code"
    else:
        seems = recognise(outlines[0].shapes, outlines[0].metadata)
    if format is None:
        return describe_files(path, files, outlines, seems)
    try:
        contents, obstacle = _contents(format.load(path, components)), None
    except MissingBase as error:
        contents, obstacle = None, str(error)
    return describe_files(path, files, outlines, seems, format.name, contents, obstacle)


def _read_native(path: Path, outline: Outline) -> None:
    """Read an adapter or a bank for the sake of the checks."""
    if outline.metadata["format"] == BANK_FORMAT:
        load_bank(path)
    else:
        load_adapter(path)


def _contents(adapter: Adapter) -> Contents:
    return Contents(adapter.method.layout, adapter.config, adapter.space.specs, adapter.provenance)
