"""Adapters merged into a base for good: a model folder that every diffusers program loads."""

import json
from collections.abc import Mapping
from pathlib import Path

from portraitist import __version__
from portraitist.adapters import Adapter, Attachment
from portraitist.bases import Base
from portraitist.errors import BadFile
from portraitist.files import write_folder_aside
from portraitist.generation.compatibility import check_base

# Beside model_index.json in the folder: what was merged.
NOTE = "merged_adapters.json"


def merge_into_base(
    base: Base, adapters: Mapping[str, tuple[Adapter, float]], folder: Path, *, force: bool = False
) -> None:
    """Write a base with adapters added into its weights, as a folder in the diffusers layout.

    Args:
        base: The base, in the precision that the folder is to have; it is left as found.
        adapters: Adapters with their scales, by the names to note.
        folder: Folder to write; it appears complete or not at all.
        force: Merge adapters that were made for another base.

    Raises:
        BadFile: If the folder is there already and not empty.
        BaseMismatch: If an adapter was made for another base.
        BadConfig: If an adapter does not fit the base.
    """
    check_folder(folder)
    for adapter, _ in adapters.values():
        check_base(adapter, base, force)
    attachment = Attachment(base.components)
    try:
        for name, (adapter, scale) in adapters.items():
            attachment.attach(adapter, name, scale)
        attachment.merge()
        with write_folder_aside(folder) as temporary:
            base.pipeline.save_pretrained(temporary, safe_serialization=True)
            (temporary / NOTE).write_text(json.dumps(_describe(base, adapters), indent=2), encoding="utf-8")
    finally:
        attachment.detach()


def check_folder(folder: Path) -> None:
    """Check, before work starts, that a model folder may be written there.

    Raises:
        BadFile: If it is there already and not empty.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadFile(f"{folder} exists already; choose another place with -o")


def _describe(base: Base, adapters: Mapping[str, tuple[Adapter, float]]) -> dict[str, object]:
    return {
        "base": {"name": base.name, "family": base.family.name},
        "adapters": [
            {
                "file": name,
                "scale": scale,
                "method": adapter.method.name,
                "trigger": adapter.provenance.trigger,
            }
            for name, (adapter, scale) in adapters.items()
        ],
        "portraitist_version": __version__,
    }
