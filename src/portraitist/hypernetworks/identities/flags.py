"""Flags: why an identity is not good to learn from. It stays in the set, with the reason."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import median

from portraitist.hypernetworks.identities.entry import Entry

# A photo whose levels (of 255) vary less shows nothing.
LEAST_SPREAD = 3.0
# A fit, or a likeness, is poor if it is so many times farther from the middle of all than half of them are.
_FAR = 6.0
# Fewer have no middle worth the name.
_FEWEST = 8


def flag_photos(entry: Entry, spreads: Sequence[float]) -> tuple[str, ...]:
    """Say what is wrong with an identity's photos by themselves.

    Args:
        entry: The identity.
        spreads: Standard deviation of each photo's levels.
    """
    if not entry.photos:
        return ("none of its photos can be used",)
    flags = []
    empty = [number for number, spread in enumerate(spreads) if spread < LEAST_SPREAD]
    if empty:
        flags.append(f"no subject: photo {', '.join(map(str, empty))} shows a single colour")
    if len(entry.different) == 1:
        flags.append("only one photo" if len(entry.photos) == 1 else "all of its photos are the same")
    return tuple(flags)


def flag_duplicates(entries: Sequence[Entry], alike: int = 0) -> list[Entry]:
    """Flag identities half of whose photos, or more, look like those of one earlier identity.

    Args:
        entries: All of them, with twins.
        alike: How many photos of each, the first ones, are drawn as everybody's are. They do not count; of the few
            others all must look like those of the earlier one.
    """
    flagged = []
    for entry in entries:
        own = entry.photos[alike:]
        others = Counter(owner for photo in own if (owner := photo.twin.rpartition("/")[0]) not in ("", entry.key))
        (other, count), *_ = others.most_common(1) or [("", 0)]
        if other and count >= len(own) / (1 if alike else 2):
            entry = replace(entry, flags=(*entry.flags, f"looks like {other}"))
        flagged.append(entry)
    return flagged


def flag_fits(entries: Sequence[Entry]) -> list[Entry]:
    """Flag targets that diverged, did not help, or are far worse than the others of their kind.

    How well a target fits is its error over the base's: identities differ in how hard they are.
    """
    shares: dict[str, list[float]] = {}
    unlike: dict[str, list[float]] = {}
    for entry in entries:
        if (share := _share(entry)) is not None:
            shares.setdefault(entry.kind, []).append(share)
        if (distance := _unlikeness(entry)) is not None:
            unlike.setdefault(entry.kind, []).append(distance)
    most, farthest = _limits(shares), _limits(unlike)
    return [replace(entry, flags=(*entry.flags, *_fit(entry, most, farthest))) for entry in entries]


def _fit(entry: Entry, most: Mapping[str, float], farthest: Mapping[str, float]) -> tuple[str, ...]:
    if entry.target is None:
        return ()
    share, distance = _share(entry), _unlikeness(entry)
    if share is None:
        return ("its target diverged",)
    flags = []
    if share >= 1:
        flags.append("its target fits no better than the base")
    elif share > most.get(entry.kind, 1.0):
        flags.append(f"its target fits poorly: {share:.2f} of the base's error is left")
    if distance is not None and distance > farthest.get(entry.kind, 2.0):
        flags.append(f"what its target draws is unlike its photos: likeness {1 - distance:.2f}")
    return tuple(flags)


def _share(entry: Entry) -> float | None:
    """Return what is left of the base's error; None without a target that was trained to its end."""
    target = entry.target
    if target is None or target.diverged or not target.base_loss > 0:
        return None
    return target.loss / target.base_loss


def _unlikeness(entry: Entry) -> float | None:
    """Return how unlike its photos a picture is that was drawn with its target, 0 to 2; None if none was drawn."""
    target = entry.target
    return None if target is None or target.diverged or target.likeness is None else 1 - target.likeness


def _limits(values: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Return by kind above which value one is far from the others: by the median and the median deviation from it."""
    limits = {}
    for kind, found in values.items():
        if len(found) >= _FEWEST:
            middle = median(found)
            limits[kind] = middle + _FAR * median(abs(value - middle) for value in found)
    return limits
