"""The contract of a file format."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from portraitist.adapters.adapter import Adapter
from portraitist.adapters.spec import Kind
from portraitist.exchange.naming import Components

# What formats of plain LoRA can keep, and those with DoRA.
LORA_LAYERS: Mapping[str, frozenset[Kind]] = {"lora": frozenset({Kind.LINEAR, Kind.CONV})}
DORA_LAYERS: Mapping[str, frozenset[Kind]] = {**LORA_LAYERS, "dora": LORA_LAYERS["lora"]}


@dataclass(frozen=True)
class Format:
    """A way to keep adapters in files.

    Attributes:
        name: Name on the command line and in reports.
        description: What it is and who reads it, for listings.
        sniff: Says whether a file or folder has this format, from names and headers alone.
        load: Reads one, with the base's components if they are known; accounts for every key.
        save: Writes one, in a precision if one is given; None for formats that are only read.
        holds: Kinds of layer it can keep, by method. Empty for the native file, which keeps everything.
        bound: Methods whose numbers there depend on the base's weights, which are then needed to write one.
        folder: It may be written into a folder.
        files: The safetensors files that belong to a path of this format; the path itself when absent.
    """

    name: str
    description: str
    sniff: Callable[[Path], bool]
    load: Callable[[Path, Components | None], Adapter]
    save: Callable[[Adapter, Path, torch.dtype | None], None] | None = None
    holds: Mapping[str, frozenset[Kind]] | None = None
    bound: frozenset[str] = frozenset()
    folder: bool = False
    files: Callable[[Path], list[Path]] = lambda path: [path]
