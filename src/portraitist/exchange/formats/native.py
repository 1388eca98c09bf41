"""The native adapter file as one format among the others."""

from pathlib import Path

from portraitist.adapters.adapter import Adapter
from portraitist.adapters.description import BANK_FORMAT, FORMAT
from portraitist.adapters.files import load_adapter, save_adapter
from portraitist.adapters.outline import read_outline
from portraitist.exchange.formats.format import Format
from portraitist.exchange.inspection import NATIVE_NAME
from portraitist.exchange.naming import Components


def _sniff(path: Path) -> bool:
    return path.is_file() and read_outline(path).metadata.get("format") in (FORMAT, BANK_FORMAT)


def _load(path: Path, components: Components | None) -> Adapter:
    return load_adapter(path)


NATIVE = Format(
    name=NATIVE_NAME,
    description="this package's own adapter file; holds every method",
    sniff=_sniff,
    load=_load,
    save=save_adapter,
)
