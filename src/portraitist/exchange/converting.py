"""An adapter file into another format."""

from dataclasses import replace
from pathlib import Path

import torch

from portraitist.adapters.provenance import THUMBNAIL
from portraitist.bases import Base
from portraitist.exchange.effects import kept_effect
from portraitist.exchange.exporting import Export, export_within_default_rank, target_held
from portraitist.exchange.loading import load_for, with_base_if_needed
from portraitist.exchange.thumbnails import make_thumbnail
from portraitist.photos import decode_photo


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
    thumbnail: Path | None = None,
) -> Export:
    """Write an adapter file in another format.

    Args:
        source: A file or folder of any known format.
        target: File or folder to write.
        format: Name of the format.
        rank: Maximum rank of the LoRA that it becomes. When not given, changes of low rank are converted exactly, and
            of changes of full rank (spectral shifts, full weights) the `DEFAULT_RANK` largest terms are kept.
        dtype: Precision of the numbers; float32 when not given.
        base: The adapter's base. When not given, the one the file names is loaded if it is needed.
        force: Convert an adapter that was made for another base than the given one.
        overwrite: Replace what is there.
        thumbnail: A picture of what it was taught, for programs that show one. When not given, the source's is kept.

    Raises:
        BadConfig: If the format cannot hold the adapter, or the base is needed and not known.
        BadFile: If the source is damaged, or the target is there already.
        BadPhoto: If the thumbnail is no picture.
    """
    picture = None if thumbnail is None else make_thumbnail(decode_photo(thumbnail))

    def write(base: Base | None) -> Export:
        components = None if base is None else base.components
        adapter = load_for(base, source, force)
        if picture is not None:
            adapter.provenance.facts[THUMBNAIL] = picture
        report = export_within_default_rank(adapter, target, format, components, rank, dtype)
        if base is None or report.exact:
            return report
        return replace(report, effect=kept_effect(base, adapter, report.written))

    with target_held(target, format, overwrite):
        return with_base_if_needed(write, [source], base)
