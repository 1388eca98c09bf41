"""Reading adapters of any format, and the bases they belong to."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import torch

from portraitist.adapters import Adapter, Provenance
from portraitist.adapters.outline import read_outline
from portraitist.bases import Base, load_base
from portraitist.errors import BadConfig, MissingBase
from portraitist.exchange.compatibility import check_base
from portraitist.exchange.formats import detect
from portraitist.exchange.inspecting import inspect_file
from portraitist.exchange.naming import Components
from portraitist.exchange.tensor_files import own_facts

Result = TypeVar("Result")

# No header is believed that asks for larger pictures.
_LARGEST = 4096


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


def load_for(base: Base | None, path: Path, force: bool = False) -> Adapter:
    """Read an adapter of any format for a base.

    Args:
        base: The base; names and shapes of layers in files of other programs are compared with it. None reads the
            file as it is.
        path: A file or folder.
        force: Read an adapter that was made for a base with other weights all the same.

    Raises:
        BadFile: If it is damaged, or changes layers that the base does not have.
        BaseMismatch: If it was made for another base.
        MissingBase: If there is no base, and the file cannot be understood without.
    """
    if base is None:
        return load_any(path)
    adapter = load_any(path, base.components)
    check_base(adapter, base, force)
    return adapter


def read_provenance(path: Path) -> Provenance:
    """Return what this package noted in an adapter's file (base, trigger, recipe, ...); nothing for files of others.

    Raises:
        BadFile: If it is no adapter, or damaged.
    """
    file = detect(path).files(path)[0]
    return Provenance(own_facts(file, read_outline(file).metadata))


def find_base(paths: Sequence[Path]) -> str:
    """Return the base that adapter files name, from their headers.

    Raises:
        BadFile: If a file is damaged or no adapter.
        BadConfig: If they name several bases or none; then with the one they seem to be for.
    """
    noted = [read_provenance(path).base for path in paths]
    names = list(dict.fromkeys(base.name for base in noted if base is not None and base.name is not None))
    if len(names) > 1:
        raise BadConfig(f"the adapters were made for {' and '.join(names)}; choose one with --base")
    if names:
        return names[0]
    guess = inspect_file(paths[0]).base
    seems = f" (it seems to be for {guess})" if guess else ""
    raise BadConfig(f"{paths[0]} does not say which base it was made for; name it with --base{seems}")


def load_base_of(
    paths: Sequence[Path],
    name: str | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
    resolution: int | None = None,
    bits: int | None = None,
) -> Base:
    """Load the base that adapter files name, to make pictures as large as those they were trained on.

    Args:
        paths: The files.
        name: Where the base is, or another base instead.
        device: Where to put it.
        dtype: Precision of its weights; float32 when not given.
        resolution: Another side of the pictures.
        bits: Bits of its linear weights, 8 or 4, if they are to be fewer.

    Raises:
        BadFile: If a file is damaged or no adapter.
        BadConfig: If they name several bases or none, or one that is not here or makes no such pictures.
    """
    side = resolution or (_find_resolution(paths) if paths else None)
    return load_base(name or find_base(paths), device, dtype, bits, side)


def _find_resolution(paths: Sequence[Path]) -> int | None:
    """Return the side of the pictures that adapter files were trained on, if all name the same and it makes sense."""
    noted = [read_provenance(path).base for path in paths]
    sides = [None if base is None else base.resolution for base in noted]
    return sides[0] if len(set(sides)) == 1 and sides[0] is not None and sides[0] <= _LARGEST else None


def with_base_if_needed(
    work: Callable[[Base | None], Result], paths: Sequence[Path], base: Base | None = None
) -> Result:
    """Do something with adapter files; load the base they name only if it turns out to be needed.

    Args:
        work: Called with a base, or without; then it may raise `MissingBase`.
        paths: The files.
        base: Their base, if it is known already.
    """
    try:
        return work(base)
    except MissingBase:
        if base is not None:
            raise
    return work(load_base(find_base(paths)))
