"""Adapter files into other formats, and several into one."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch

from portraitist.adapters import Adapter, add
from portraitist.adapters.algebra import bind
from portraitist.adapters.formats import Export, export, get_format, load_any
from portraitist.adapters.mixing import style_mix
from portraitist.bases import Base
from portraitist.bases.layers import geometry_layers
from portraitist.errors import BadConfig, BadFile, MissingBase
from portraitist.generation.loading import load_for, with_base_if_needed

# Of changes that have full rank. A LoRA of this rank is as large as users of LoRA usually take.
DEFAULT_RANK = 64
_SUFFIX = ".safetensors"

MergeMode = Literal["add", "interpolate", "style-mix"]


def convert(
    source: Path,
    target: Path,
    format: str,
    *,
    rank: int | None = None,
    dtype: torch.dtype | None = None,
    base: Base | None = None,
    force: bool = False,
    overwrite: bool = False,
) -> Export:
    """Write an adapter file in another format.

    Args:
        source: A file or folder of any known format.
        target: File or folder to write.
        format: Name of the format.
        rank: Highest rank of a LoRA that it becomes. When not given, changes of low rank are converted exactly, and of
            changes of full rank (spectral shifts, full weights) the `DEFAULT_RANK` largest terms are kept.
        dtype: Precision of the numbers; float32 when not given.
        base: The adapter's base. When not given, the one the file names is loaded if it is needed.
        force: Convert an adapter that was made for another base than the given one.
        overwrite: Replace what is there.

    Raises:
        BadConfig: If the format cannot hold the adapter, or the base is needed and not known.
        BadFile: If the source is damaged, or the target is there already.
    """
    check_target(target, format, overwrite)

    def write(base: Base | None) -> Export:
        adapter = _load(source, base, force)
        return _export(adapter, target, format, base, rank, dtype)

    return with_base_if_needed(write, [source], base)


def merge_adapters(
    sources: Sequence[Path],
    target: Path,
    format: str = "portraitist",
    *,
    weights: Sequence[float] | None = None,
    mode: MergeMode = "add",
    geometry: Sequence[str] = (),
    rank: int | None = None,
    dtype: torch.dtype | None = None,
    base: Base | None = None,
    force: bool = False,
    overwrite: bool = False,
) -> Export:
    """Write the weighted sum of adapter files as one adapter, or a style mix of two.

    Adapters of one method stay of it where it is closed under addition; others are added as exact LoRA.

    Args:
        sources: Files or folders of any known formats.
        target: File or folder to write.
        format: Name of its format.
        weights: One for each; 1 when not given.
        mode: ``add`` takes the weights as they are, ``interpolate`` divides them by their sum; ``style-mix`` takes the
            geometry of the first and the appearance of the second.
        geometry: Patterns of the layers that shape a subject; those known for the base when not given.
        rank: Highest rank of the result as LoRA. When not given, a sum of changes of low rank stays exact, and one with
            changes of full rank keeps the `DEFAULT_RANK` largest terms.
        dtype: Precision of the numbers; float32 when not given.
        base: Their base. When not given, the one the files name is loaded if it is needed.
        force: Add adapters that were made for different bases.
        overwrite: Replace what is there.

    Raises:
        BadConfig: If they have no common form, or the format cannot hold it.
        BadFile: If a source is damaged, or the target is there already.
    """
    check_target(target, format, overwrite)
    given = merge_weights(len(sources), weights, mode)

    def write(base: Base | None) -> Export:
        adapters = [_load(source, base, force) for source in sources]
        if base is not None:
            for adapter in adapters:
                bind(adapter, base.components)
        if mode == "style-mix":
            total = style_mix(adapters[0], adapters[1], geometry or _geometry(adapters, base), force)
        else:
            total = add(adapters, given, force, names=[source.name for source in sources])
        total.provenance.facts["merged"] = [
            {"file": source.name, "weight": weight, "method": adapter.method.name}
            for source, weight, adapter in zip(sources, given, adapters, strict=True)
        ]
        whole = total.method.name == "lora" and any(adapter.method.full_rank for adapter in adapters)
        return _export(total, target, format, base, DEFAULT_RANK if rank is None and whole else rank, dtype)

    return with_base_if_needed(write, sources, base)


def _geometry(adapters: Sequence[Adapter], base: Base | None) -> tuple[str, ...]:
    """Return the layers that shape a subject on the base, or on the one that an adapter names."""
    if base is not None:
        return geometry_layers(base.name, base.family.name)
    for adapter in adapters:
        noted = adapter.provenance.base
        if noted is not None and noted.family is not None:
            return geometry_layers(str(noted.name), noted.family)
    raise MissingBase("the adapters do not say which base they were made for; name it with --base")


def merge_weights(count: int, weights: Sequence[float] | None, mode: MergeMode) -> list[float]:
    """Return the weights with which adapters are added.

    Raises:
        BadConfig: If there are not as many as adapters, or they cannot be interpolated with.
    """
    given = [1.0] * count if weights is None else list(weights)
    if len(given) != count:
        raise BadConfig(f"{count} adapters need {count} weights, not {len(given)}")
    if mode == "add":
        return given
    if mode == "style-mix":
        if count != 2 or weights is not None:
            raise BadConfig("a style mix takes exactly two adapters, first geometry, then appearance, and no weights")
        return given
    if sum(given) <= 0:
        raise BadConfig(
            f"interpolation divides weights by their sum, which is {sum(given):g} here; use --mode add instead"
        )
    return [weight / sum(given) for weight in given]


def check_target(path: Path, format: str, overwrite: bool = False) -> None:
    """Check, before work starts, that an adapter of a format may be written there.

    Raises:
        BadConfig: If it is no place for this format.
        BadFile: If there is something already.
    """
    target = get_format(format)
    if not target.folder and path.suffix != _SUFFIX:
        raise BadConfig(f"the format {format} is one file; its name ends in {_SUFFIX}, which {path} does not")
    if path.exists() and not overwrite and not (path.is_dir() and not any(path.iterdir())):
        raise BadFile(f"{path} exists already; choose another place with -o, or use --overwrite")


def _load(path: Path, base: Base | None, force: bool) -> Adapter:
    return load_any(path) if base is None else load_for(base, path, force)


def _export(
    adapter: Adapter, target: Path, format: str, base: Base | None, rank: int | None, dtype: torch.dtype | None
) -> Export:
    holds = get_format(format).holds
    converted = holds is not None and adapter.method.name not in holds
    if rank is None and converted and adapter.method.full_rank:
        rank = DEFAULT_RANK
    return export(adapter, target, format, None if base is None else base.components, rank, dtype)
