"""Writing an adapter in any format: what the format cannot hold becomes LoRA, and the report says what that kept."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from portraitist.adapters import Adapter, to_lora
from portraitist.adapters.algebra import EXACT, bind
from portraitist.adapters.spec import Kind
from portraitist.errors import BadConfig
from portraitist.exchange.formats import Format, get_format, list_formats
from portraitist.exchange.naming import Components
from portraitist.files import require_unused
from portraitist.locks import output_held

# Of changes that have full rank. A LoRA of this rank is as large as users of LoRA usually take.
DEFAULT_RANK = 64
_SUFFIX = ".safetensors"


@dataclass(frozen=True)
class Export:
    """What an export wrote.

    Attributes:
        path: The file or folder.
        format: The format's name.
        written: The adapter as it was written; a LoRA after a conversion.
        energy: Kept part of each layer's change (squared Frobenius norm) where it was converted; empty otherwise.
        dropped: Layers (or parts of them) that the format cannot hold.
        effect: Kept part of the adapter's effect on predictions, where something was lost and the base was at hand.
    """

    path: Path
    format: str
    written: Adapter
    energy: Mapping[str, float]
    dropped: tuple[str, ...]
    effect: float | None = None

    @property
    def method(self) -> str:
        """Return the written adapter's method."""
        return self.written.method.name

    @property
    def exact(self) -> bool:
        """Say whether nothing was lost but the digits of a given precision."""
        return not self.dropped and all(kept > EXACT for kept in self.energy.values())


def check_target(path: Path, format: str, overwrite: bool = False) -> None:
    """Check, before work starts, that an adapter of a format may be written there.

    Raises:
        BadConfig: If it is no place for this format.
        BadFile: If there is something already.
    """
    target = get_format(format)
    if not target.folder and path.suffix != _SUFFIX:
        raise BadConfig(f"the format {format} is one file; its name must end in {_SUFFIX}, unlike {path}")
    require_unused(path, overwrite, folder=True)


@contextmanager
def target_held(path: Path, format: str, overwrite: bool = False) -> Iterator[None]:
    """Hold the place of an adapter that is to be written against other processes, after `check_target`.

    Raises:
        InUse: If another process writes it.
    """
    with output_held(path, "the writing of an adapter", lambda: check_target(path, format, overwrite)):
        yield


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
        components: The base's modules; converting spectral shifts needs them, and writing DoRA for others.
        rank: Maximum rank of the LoRA it is converted to; None takes the rank that is exact.
        dtype: Precision of the numbers; None keeps the adapter's.

    Raises:
        BadConfig: If the format is only read, or cannot hold the adapter in any form; with those that can.
        MissingBase: If it cannot be converted without its base.
    """
    target = get_format(format)
    save = target.save
    if save is None or not _can_hold(target, adapter):
        reason = "can only be read, not written" if save is None else f"cannot hold this {adapter.method.name} adapter"
        able = ", ".join(other.name for other in list_formats() if _can_hold(other, adapter))
        raise BadConfig(f"the format {format} {reason}; choose {able}")
    if rank is not None and "lora" not in (target.holds or ["lora"]):
        raise BadConfig(f"a rank is for LoRA, which the format {format} does not hold; leave the rank out")
    if path.is_dir() and not target.folder:
        raise BadConfig(f"{path} is a folder; the format {format} is one file, so name a file")
    if adapter.space.check(adapter.values) is not None:
        raise BadConfig("a bank of several adapters cannot be written as a single one; choose one of them")
    energy: dict[str, float] = {}
    dropped: tuple[str, ...] = ()
    if rank is not None or _becomes_lora(target, adapter):
        conversion = to_lora(adapter if components is None else bind(adapter, components), rank)
        adapter, energy, dropped = conversion.adapter, dict(conversion.energy), conversion.dropped
    if target.holds is not None:
        adapter, left_out = _fitting(adapter, target.holds)
        dropped = (*dropped, *left_out)
    if components is not None and adapter.method.name in target.bound:
        bind(adapter, components)
    save(adapter, path, dtype)
    return Export(path, target.name, adapter, energy, dropped)


def export_within_default_rank(
    adapter: Adapter,
    path: Path,
    format: str,
    components: Components | None = None,
    rank: int | None = None,
    dtype: torch.dtype | None = None,
) -> Export:
    """Write an adapter like `export`, one of full rank that has to become a LoRA with `DEFAULT_RANK` at most."""
    if rank is None and adapter.method.full_rank and _becomes_lora(get_format(format), adapter):
        rank = DEFAULT_RANK
    return export(adapter, path, format, components, rank, dtype)


def _becomes_lora(target: Format, adapter: Adapter) -> bool:
    return target.holds is not None and adapter.method.name not in target.holds


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
