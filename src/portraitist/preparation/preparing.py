"""Which photos of a folder are worth training on, each decision with its numbers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median

from PIL import Image

from portraitist.errors import BadConfig, BadPhoto
from portraitist.evaluation.encoders import Encoder
from portraitist.photos import decode_photo, list_photos
from portraitist.preparation.borders import find_borders
from portraitist.preparation.duplicates import Look
from portraitist.preparation.outliers import FEWEST, likeness_shares
from portraitist.preparation.people import Box, FaceFinder, crop_box
from portraitist.preparation.sharpness import sharpness, shrink

# Random crops take three quarters of a side (the recipes' smallest_crop), which should need no enlarging.
_ROOM_FOR_CROPS = 4 / 3
# As in training: a photo may be enlarged to the base's resolution at most so many times.
_MOST_ENLARGED = 2
# A later near-duplicate takes an earlier one's place if it is so much sharper, or larger.
_CLEARLY_SHARPER = 2.0


@dataclass(frozen=True)
class Criteria:
    """What a photo must be; docs/preparation.md says how the values were chosen.

    Attributes:
        size: Side of the base's pictures, in pixels.
        sharpness: Least `portraitist.preparation.sharpness.sharpness`; 0 lets any blur pass.
        sharpness_share: Least sharpness as a share of the set's median; 0 does not compare.
        phash: Two photos are near-duplicates if at most so many of 64 bits of their pHash differ,
        dhash: or of their dHash; -1 in both keeps them all.
        likeness: Least likeness to the other photos as a share of what is usual among them, where an encoder compares
            them; 0 drops none.
        trim: Whether uniform bars around photos are cut off.
        crop: Whether photos are cropped to the face.
        margin: Room around the face, in its longer sides.
    """

    size: int = 512
    sharpness: float = 0.02
    sharpness_share: float = 0.125
    phash: int = 10
    dhash: int = 4
    likeness: float = 0.75
    trim: bool = False
    crop: bool = False
    margin: float = 0.75

    def __post_init__(self) -> None:
        if self.size < 1:
            raise BadConfig(f"the size must be 1 pixel or more, not {self.size}")
        if not (math.isfinite(self.sharpness) and self.sharpness >= 0 and 0 <= self.sharpness_share < 1):
            raise BadConfig("the minimum sharpness must be 0 or more, and its share of the median from 0 to below 1")
        if not 0 <= self.likeness < 1:
            raise BadConfig(f"the least likeness to the other photos must be from 0 to below 1, not {self.likeness}")
        if not (math.isfinite(self.margin) and self.margin >= 0):
            raise BadConfig(f"the margin around a face must be 0 or more, not {self.margin}")

    @property
    def needed(self) -> int:
        """Return the shorter side beyond which a photo holds more than training uses."""
        return math.ceil(self.size * _ROOM_FOR_CROPS)


@dataclass(frozen=True)
class Decision:
    """What became of a photo.

    Attributes:
        path: The photo.
        why: Why it was dropped; empty if it is kept.
        size: Its width and height, upright, before anything was done; None if it cannot be read.
        picture: What of it would be trained on, reduced to what is needed; None if it cannot be read.
        box: The part that was cut out, in pixels; None for all of it.
        borders: The part of `picture` inside uniform bars, in its pixels; None if it has none.
        likeness: To the other photos, as `portraitist.preparation.outliers` measures; None if it was not compared.
        sharpness: Of that part; None if it was not looked at.
        nearest: The kept photo that looks most like it, with the bits that differ.
        faces: How many faces it shows; None if nobody looked.
    """

    path: Path
    why: str = ""
    size: tuple[int, int] | None = None
    picture: Image.Image | None = field(default=None, repr=False)
    box: tuple[int, int, int, int] | None = None
    borders: tuple[int, int, int, int] | None = None
    likeness: float | None = None
    sharpness: float | None = None
    nearest: tuple[Path, int, int] | None = None
    faces: int | None = None

    @property
    def inner(self) -> Image.Image | None:
        """Return the picture inside its bars; None if it cannot be read."""
        if self.picture is None or self.borders is None:
            return self.picture
        return self.picture.crop(self.borders)

    @property
    def is_kept(self) -> bool:
        """Say whether it is kept."""
        return not self.why


@dataclass(frozen=True)
class Prepared:
    """Decisions on all photos, in their order."""

    decisions: tuple[Decision, ...]
    criteria: Criteria

    @property
    def kept(self) -> list[Decision]:
        """Return those that are kept."""
        return [decision for decision in self.decisions if decision.is_kept]


def prepare(
    photos: Sequence[Path],
    criteria: Criteria,
    finder: FaceFinder | None = None,
    person: Path | None = None,
    encoder: Encoder | None = None,
) -> Prepared:
    """Decide which photos to train on. Nothing is written.

    Args:
        photos: Pictures, and folders of them.
        criteria: What they must be.
        finder: Looks for faces; None does not.
        person: A picture of the one who is meant, alone.
        encoder: Sees what photos show, so that one of something else is found among `outliers.FEWEST` and more; None
            does not look.

    Raises:
        BadPhoto: If there are none, or none can be used; if two people may be meant.
        MissingExtra: If a library is missing.
    """
    paths = [path for entry in photos for path in list_photos(Path(entry))]
    if not paths:
        raise BadPhoto(f"no pictures in {', '.join(map(str, photos))}; give a folder of photos")
    if criteria.crop and finder is None:
        raise BadConfig("cropping to a face needs the face networks: --detector and --face-encoder")
    seen, decisions = [], []
    for index, path in enumerate(paths):
        try:
            photo = decode_photo(path)
        except BadPhoto as error:
            decisions.append(Decision(path, f"unreadable: {_without_path(str(error), path)}"))
            continue
        found = finder.find(index, photo) if finder else []
        seen += found
        decision = _without_bars(Decision(path, size=photo.size), photo, criteria)
        decisions.append(replace(decision, faces=len(found) if finder else None))
    if finder is not None:
        decisions = _with_person(decisions, finder.subject(seen, paths, person), criteria)
    decisions = _without_duplicates(_without_blurred(_without_tiny(decisions, criteria), criteria), criteria)
    if encoder is not None and criteria.likeness > 0:
        decisions = _without_outliers(decisions, criteria, encoder)
    if not any(decision.is_kept for decision in decisions):
        reasons = "; ".join(f"{decision.path.name} is {decision.why}" for decision in decisions)
        raise BadPhoto(f"none of {len(decisions)} photos can be used: {reasons}")
    return Prepared(tuple(decisions), criteria)


def _without_bars(decision: Decision, photo: Image.Image, criteria: Criteria) -> Decision:
    """Find uniform bars around a photo, and cut them off if asked."""
    picture = shrink(photo, criteria.needed)
    borders = find_borders(picture)
    if borders is None or not criteria.trim:
        return replace(decision, picture=picture, borders=borders)
    scale = photo.width / picture.width
    left, top, right, bottom = (round(scale * edge) for edge in borders)
    box = (left, top, min(right, photo.width), min(bottom, photo.height))
    return replace(decision, picture=shrink(photo.crop(box), criteria.needed), box=box)


def _with_person(decisions: list[Decision], places: dict[int, Box], criteria: Criteria) -> list[Decision]:
    """Drop photos without the person, and cut the others if asked."""
    result = []
    for index, decision in enumerate(decisions):
        if decision.is_kept and index not in places:
            decision = replace(decision, why="without the person's face" if decision.faces else "without a face")
        elif decision.is_kept and criteria.crop:
            assert decision.size is not None
            box = crop_box(places[index], decision.size, criteria.margin)
            picture = shrink(decode_photo(decision.path).crop(box), criteria.needed)
            decision = replace(decision, box=box, picture=picture, borders=find_borders(picture))
        result.append(decision)
    return result


def _without_tiny(decisions: list[Decision], criteria: Criteria) -> list[Decision]:
    least = -(-criteria.size // _MOST_ENLARGED)
    result = []
    for decision in decisions:
        if decision.is_kept and decision.picture is not None and min(decision.picture.size) < least:
            side = min(decision.picture.size)
            part = "the face's part " if decision.box else ""
            decision = replace(decision, why=f"too small: {part}{side} px, at least {least}")
        result.append(decision)
    return result


def _without_blurred(decisions: list[Decision], criteria: Criteria) -> list[Decision]:
    """Measure every readable photo, and drop those below the least sharpness or far below their set's."""
    measured = [
        decision if (inner := decision.inner) is None else replace(decision, sharpness=sharpness(inner))
        for decision in decisions
    ]
    values = [decision.sharpness for decision in measured if decision.is_kept and decision.sharpness is not None]
    usual = median([value for value in values if value >= criteria.sharpness] or [0.0])
    result = []
    for decision in measured:
        value = decision.sharpness
        if decision.is_kept and value is not None:
            if value < criteria.sharpness:
                decision = replace(decision, why=f"blurred: sharpness {value:.4f}, at least {criteria.sharpness:g}")
            elif value < criteria.sharpness_share * usual:
                why = f"blurred next to the others: sharpness {value:.4f}, median {usual:.4f}"
                decision = replace(decision, why=why)
        result.append(decision)
    return result


def _without_duplicates(decisions: list[Decision], criteria: Criteria) -> list[Decision]:
    """Drop near-duplicates: the first stays, unless a later one is larger or clearly sharper."""
    result = list(decisions)
    looks = {
        index: Look.of(decision.picture)
        for index, decision in enumerate(decisions)
        if decision.is_kept and decision.picture is not None
    }
    kept: list[int] = []
    for index in looks:
        alike = [other for other in kept if _is_near(looks[index].distances(looks[other]), criteria)]
        if not all(_is_better(decisions[index], decisions[other]) for other in alike):
            result[index] = replace(result[index], why=f"nearly the same as {decisions[alike[0]].path.name}")
            continue
        for other in alike:
            result[other] = replace(result[other], why=f"nearly the same as {decisions[index].path.name}")
        kept = [*(other for other in kept if other not in alike), index]
    for index in looks:
        distances = {other: looks[index].distances(looks[other]) for other in kept if other != index}
        if distances:
            nearest = min(distances, key=lambda other: sum(distances[other]))
            result[index] = replace(result[index], nearest=(decisions[nearest].path, *distances[nearest]))
    return result


def _without_outliers(decisions: list[Decision], criteria: Criteria, encoder: Encoder) -> list[Decision]:
    """Measure how much each kept photo looks like the others, and drop those that show something else."""
    compared = [index for index, decision in enumerate(decisions) if decision.is_kept]
    if len(compared) < FEWEST:
        return decisions
    pictures = [inner for index in compared if (inner := decisions[index].inner) is not None]
    result = list(decisions)
    for index, likeness in zip(compared, likeness_shares(encoder, pictures), strict=True):
        why = f"unlike the others: likeness {likeness:.2f}, at least {criteria.likeness:g}"
        result[index] = replace(result[index], likeness=likeness, why=why if likeness < criteria.likeness else "")
    return result


def _is_near(distances: tuple[int, int], criteria: Criteria) -> bool:
    return distances[0] <= criteria.phash or distances[1] <= criteria.dhash


def _is_better(later: Decision, earlier: Decision) -> bool:
    assert later.picture is not None
    assert earlier.picture is not None
    if min(later.picture.size) != min(earlier.picture.size):
        return min(later.picture.size) > min(earlier.picture.size)
    return (later.sharpness or 0.0) > _CLEARLY_SHARPER * (earlier.sharpness or 0.0)


def _without_path(message: str, path: Path) -> str:
    """Take a file's own name off the start of what is said about it."""
    return message.removeprefix(f"{path} ").removeprefix("is ")
