"""The contract of a file format, and the report of an export."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from portraitist.adapters.adapter import Adapter
from portraitist.adapters.layer import Kind

Components = Mapping[str, nn.Module]


@dataclass(frozen=True)
class Format:
    """A way to keep adapters in files.

    Attributes:
        name: Name on the command line and in reports.
        description: What it is and who reads it, for listings.
        sniff: Says whether a file or folder has this format, from names and headers alone.
        load: Reads one, with the base's components if they are known; accounts for every key.
        save: Writes one; None for formats that are only read.
        holds: Kinds of layer it can keep, by method. Empty for the native file, which keeps everything.
        folder: It may be written into a folder.
    """

    name: str
    description: str
    sniff: Callable[[Path], bool]
    load: Callable[[Path, Components | None], Adapter]
    save: Callable[[Adapter, Path], None] | None = None
    holds: Mapping[str, frozenset[Kind]] | None = None
    folder: bool = False


@dataclass(frozen=True)
class Export:
    """What an export wrote.

    Attributes:
        path: The file or folder.
        format: The format's name.
        method: The method of the written adapter; ``lora`` after a conversion.
        energy: Kept part of each layer's change (squared Frobenius norm) where it was converted; empty otherwise.
        dropped: Layers (or parts of them) that the format cannot hold.
    """

    path: Path
    format: str
    method: str
    energy: Mapping[str, float]
    dropped: tuple[str, ...]

    @property
    def exact(self) -> bool:
        """Say whether nothing was lost."""
        return not self.dropped and all(kept > 1 - 1e-6 for kept in self.energy.values())
