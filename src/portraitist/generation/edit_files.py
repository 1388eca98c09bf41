"""The files of an edit: results, reconstruction, a sheet of before and after, and every setting."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from portraitist.errors import BadFile
from portraitist.files import require_writable, write_aside
from portraitist.generation.editing import Edited
from portraitist.generation.notes import png_notes
from portraitist.generation.sheets import caption_sheet

RECONSTRUCTION, SHEET, FACTS = "reconstruction.png", "sheet.png", "edit.json"
_ROOM = 50_000_000  # bytes; a few pictures and their sheet
_TILE = 256


@dataclass(frozen=True)
class EditFiles:
    """Where an edit was written.

    Attributes:
        results: One picture a seed.
        reconstruction: The picture again.
        sheet: Before, reconstruction and after, side by side.
        facts: Prompts and settings as JSON.
    """

    results: tuple[Path, ...]
    reconstruction: Path
    sheet: Path
    facts: Path


def check_folder(folder: Path, overwrite: bool = False) -> None:
    """Check, before work starts, that an edit can be written into a folder and replaces nothing unasked.

    Raises:
        BadFile: If there is an edit already.
        UnwritableFolder: If the folder cannot be written.
    """
    if (folder / FACTS).exists() and not overwrite:
        raise BadFile(f"{folder} already holds an edit; choose another folder with -o, or use --overwrite")
    require_writable(folder, _ROOM)


def save_edit(
    edited: Edited,
    picture: Image.Image,
    source: str,
    target: str,
    folder: Path,
    *,
    seeds: Sequence[int],
    facts: Mapping[str, Any],
) -> EditFiles:
    """Write an edit into a folder, over one that is there.

    Args:
        edited: What the edit gave.
        picture: The picture it started from, as the base saw it.
        source: Prompt that describes the picture.
        target: Prompt of the results.
        folder: Where to write.
        seeds: The results' seeds.
        facts: Everything else needed to make it again, JSON-able.

    Raises:
        ValueError: If the edit has no reconstruction.
    """
    if edited.reconstruction is None:
        raise ValueError("an edit is written with its reconstruction")
    everything = {
        "source": source,
        "target": target,
        "seeds": list(seeds),
        "drift": edited.drift,
        "residual": edited.residual,
        "evaluations": edited.evaluations,
        **facts,
    }
    results = []
    for seed, image in zip(seeds, edited.results, strict=True):
        results.append(folder / f"result-{seed}.png")
        _save_png(image, results[-1], target, {**everything, "seeds": [seed]})
    _save_png(edited.reconstruction, folder / RECONSTRUCTION, source, everything)
    captions = ["after", *[f"after, seed {seed}" for seed in seeds[1:]]]
    after = [(image, f"{caption}: {target}") for image, caption in zip(edited.results, captions, strict=True)]
    tiles = [(picture, f"before: {source}"), (edited.reconstruction, "reconstruction"), *after]
    with write_aside(folder / SHEET) as temporary:
        caption_sheet(tiles, columns=6, tile=_TILE).save(temporary, format="PNG")
    with write_aside(folder / FACTS) as temporary:
        temporary.write_text(json.dumps(everything, indent=2) + "\n", encoding="utf-8")
    return EditFiles(tuple(results), folder / RECONSTRUCTION, folder / SHEET, folder / FACTS)


def _save_png(image: Image.Image, path: Path, prompt: str, facts: Mapping[str, Any]) -> None:
    with write_aside(path) as temporary:
        image.save(temporary, format="PNG", pnginfo=png_notes(prompt, facts))
