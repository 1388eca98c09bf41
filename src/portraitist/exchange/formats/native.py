"""The native adapter file as one format among the others."""

from pathlib import Path

from portraitist.adapters.adapter import Adapter
from portraitist.adapters.files import BANK_FORMAT, FORMAT, load_adapter, save_adapter
from portraitist.exchange.formats.format import Format
from portraitist.exchange.naming import Components
from portraitist.exchange.tensor_files import read_outline


def _sniff(path: Path) -> bool:
    return path.is_file() and read_outline(path).metadata.get("format") in (FORMAT, BANK_FORMAT)


def _load(path: Path, components: Components | None) -> Adapter:
    return load_adapter(path)


NATIVE = Format(
    name="portraitist",
    description="this package's own adapter file; holds every method",
    sniff=_sniff,
    load=_load,
    save=save_adapter,
)
