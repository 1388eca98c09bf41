"""What preparing leaves: the kept photos, ready for training, every decision as JSON, and a sheet that shows all."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageOps

from portraitist.errors import BadPhoto
from portraitist.files import write_folder_aside
from portraitist.generation.sheets import caption_sheet, fit_tile
from portraitist.photos import CAPTION_SUFFIXES, MASK_SUFFIX, decode_photo
from portraitist.preparation.preparing import Decision, Prepared
from portraitist.preparation.sharpness import shrink

FORMAT = "portraitist-prepared-1"
DECISIONS = "prepared.json"
# In a folder of its own, as training takes every picture beside the photos for one of them.
SHEET = Path("report") / "sheet.png"

_TILE, _FRAME = 192, 6
_KEPT, _DROPPED, _BOX, _NOTHING = (40, 150, 70), (200, 50, 40), (250, 200, 0), (225, 225, 225)


def write_prepared(prepared: Prepared, folder: Path, captions: Mapping[Path, str] | None = None) -> None:
    """Write a folder that `portraitist train` takes; originals stay as they are.

    Photos are written upright, in sRGB, as PNG. Captions beside them come along, and masks cut in the same way.

    Args:
        prepared: The decisions.
        folder: Must not be there, or be empty.
        captions: Of kept photos without one beside them.

    Raises:
        UnwritableFolder: If it is not empty, or cannot be written.
        BadPhoto: If a mask does not fit its photo.
    """
    names = _names(prepared.kept)
    with write_folder_aside(folder) as target:
        for decision in prepared.kept:
            assert decision.picture is not None
            decision.picture.save(target / names[decision.path])
            _copy_companions(decision, target / names[decision.path], prepared.criteria.needed)
            if captions is not None and decision.path in captions:
                text = target / Path(names[decision.path]).with_suffix(CAPTION_SUFFIXES[0])
                text.write_text(captions[decision.path] + "\n", encoding="utf-8")
        (target / DECISIONS).write_text(json.dumps(describe(prepared, names), indent=1, ensure_ascii=False) + "\n")
        (target / SHEET).parent.mkdir()
        decision_sheet(prepared.decisions).save(target / SHEET)


def describe(prepared: Prepared, names: dict[Path, str]) -> dict[str, Any]:
    """Return every decision with its numbers, as JSON holds it."""
    return {
        "format": FORMAT,
        "criteria": asdict(prepared.criteria),
        "kept": len(prepared.kept),
        "dropped": len(prepared.decisions) - len(prepared.kept),
        "photos": [_describe_one(decision, names.get(decision.path)) for decision in prepared.decisions],
    }


def _describe_one(decision: Decision, written: str | None) -> dict[str, Any]:
    facts: dict[str, Any] = {"file": str(decision.path), "kept": decision.is_kept}
    facts |= {"written": written} if decision.is_kept else {"why": decision.why}
    for name in ("size", "box", "borders", "sharpness", "likeness", "faces"):
        value = getattr(decision, name)
        if value is not None:
            facts[name] = value if not isinstance(value, float) else round(value, 6)
    if decision.nearest is not None:
        path, phash, dhash = decision.nearest
        facts["nearest"] = {"file": str(path), "phash": phash, "dhash": dhash}
    return facts


def decision_sheet(decisions: Sequence[Decision]) -> Image.Image:
    """Draw every photo: in green those that are kept, in red and crossed out those that are not, and why."""
    tiles = [(_tile(decision), f"{decision.path.name}: {decision.why or 'kept'}") for decision in decisions]
    return caption_sheet(tiles, tile=_TILE)


def _tile(decision: Decision) -> Image.Image:
    if decision.picture is None:
        inner = Image.new("RGB", (_TILE - 2 * _FRAME,) * 2, _NOTHING)
    else:
        inner = fit_tile(_whole(decision), _TILE - 2 * _FRAME)
    if not decision.is_kept:
        draw = ImageDraw.Draw(inner)
        draw.line((0, 0, *inner.size), fill=_DROPPED, width=3)
        draw.line((0, inner.height, inner.width, 0), fill=_DROPPED, width=3)
    return ImageOps.expand(inner, _FRAME, _KEPT if decision.is_kept else _DROPPED)


def _whole(decision: Decision) -> Image.Image:
    """Return the photo, with a frame around what is cut out of it."""
    assert decision.picture is not None
    if decision.box is None:
        return decision.picture
    photo = decode_photo(decision.path)
    small = shrink(photo, _TILE)
    scale = small.width / photo.width
    ImageDraw.Draw(small).rectangle([round(scale * value) for value in decision.box], outline=_BOX, width=4)
    return small


def _names(kept: Sequence[Decision]) -> dict[Path, str]:
    """Name the written pictures after their photos; a second one of a name gets a number."""
    names: dict[Path, str] = {}
    for decision in kept:
        stem, number = decision.path.stem, 1
        while f"{stem}.png".lower() in {name.lower() for name in names.values()}:
            number += 1
            stem = f"{decision.path.stem}-{number}"
        names[decision.path] = f"{stem}.png"
    return names


def _copy_companions(decision: Decision, written: Path, needed: int) -> None:
    """Bring a photo's caption and mask along."""
    for suffix in CAPTION_SUFFIXES:
        if (caption := decision.path.with_suffix(suffix)).is_file():
            shutil.copyfile(caption, written.with_suffix(suffix))
    mask_file = decision.path.with_name(decision.path.stem + MASK_SUFFIX)
    if not mask_file.is_file():
        return
    mask = decode_photo(mask_file).convert("L")
    if mask.size != decision.size:
        raise BadPhoto(
            f"the mask {mask_file} does not have the size of {decision.path.name} (upright); paint it over the photo"
        )
    if decision.box is not None:
        mask = mask.crop(decision.box)
    shrink(mask, needed).save(written.with_name(written.stem + MASK_SUFFIX))
