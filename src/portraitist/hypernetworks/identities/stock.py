"""Taking stock of a set: what is there, from the files that are whole; its index is made of nothing else."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from portraitist.adapters import read_header
from portraitist.adapters.banks import read_index as read_bank_index
from portraitist.bases.families import Framing
from portraitist.hypernetworks.identities.entry import Entry, PhotoFacts, TargetFacts
from portraitist.hypernetworks.identities.flags import flag_duplicates, flag_fits, flag_photos
from portraitist.hypernetworks.identities.settings import SetSettings
from portraitist.hypernetworks.identities.shards import (
    LATENTS,
    LOOKS,
    PHOTOS,
    SECONDS,
    TARGETS,
    WHO,
    Shards,
    features_stage,
    read_fact,
    shard_path,
)
from portraitist.hypernetworks.identities.twins import find_twins


@dataclass(frozen=True)
class Stock:
    """What is there of a set.

    Attributes:
        entries: The identities whose shards are whole.
        seconds: Seconds that an identity took, by stage: ``photos``, ``latents``, ``features``, ``targets``.
        auxiliary_bases: A checksum of what the targets' layers draw instead of storing it; empty where they draw
            nothing.
    """

    entries: list[Entry]
    seconds: dict[str, float]
    auxiliary_bases: str = ""

    @property
    def each(self) -> float:
        """Return the seconds of an identity, all stages together."""
        return sum(self.seconds.values())


def stages(settings: SetSettings) -> list[str]:
    """Return the stages whose shards an identity needs."""
    return [PHOTOS, LATENTS, *(features_stage(encoder) for encoder in settings.encoders)]


def take_stock(folder: Path, settings: SetSettings) -> Stock:
    """Look at the files of a set, and flag what is not good.

    Raises:
        BadFile: If one is damaged.
    """
    entries = read_entries(folder, settings)
    spent: dict[str, float] = defaultdict(float)
    for shard in whole_shards(folder, settings):
        for stage in stages(settings):
            spent[stage.partition("/")[0]] += float(read_fact(shard_path(folder, stage, shard), SECONDS))
    seconds = {stage: total / len(entries) for stage, total in spent.items()}
    entries = flag_duplicates(_with_twins(folder, entries, settings.alike), settings.alike)
    banks = [path for bank in range(settings.banks) if (path := shard_path(folder, TARGETS, bank)).exists()]
    targets = _read_targets(banks)
    if targets:
        seconds[TARGETS] = sum(target.seconds for target in targets.values()) / len(targets)
    entries = flag_fits([replace(entry, target=targets.get(entry.key)) for entry in entries])
    return Stock(entries, seconds, str(read_header(banks[0]).get("drawn_sums", "")) if banks else "")


def whole_shards(folder: Path, settings: SetSettings) -> list[int]:
    """Return the numbers of the shards of which no file is missing."""
    names = stages(settings)
    return [n for n in range(settings.shards) if all(shard_path(folder, name, n).exists() for name in names)]


def read_entries(folder: Path, settings: SetSettings) -> list[Entry]:
    """Return the identities of the shards that are whole, as far as their photos by themselves tell.

    Raises:
        BadFile: If a shard is damaged.
    """
    entries: list[Entry] = []
    first = 0
    for shard in whole_shards(folder, settings):
        entries += _read_shard(folder, settings, shard, first)
        first = entries[-1].first + len(entries[-1].photos)
    return entries


def _read_shard(folder: Path, settings: SetSettings, shard: int, first: int) -> list[Entry]:
    """Return the identities of a shard of photos, of which the first has a number in the set."""
    path = shard_path(folder, PHOTOS, shard)
    entries, row = [], 0
    for number, facts in zip(settings.members(shard), read_fact(path, WHO), strict=True):
        spreads = [photo.pop("spread") for photo in facts["photos"]]
        photos = tuple(
            PhotoFacts(**{**photo, "framing": Framing(*map(tuple, photo["framing"]))}) for photo in facts.pop("photos")
        )
        entry = Entry(number=number, shard=shard, row=row, first=first + row, photos=photos, **facts)
        entries.append(replace(entry, flags=flag_photos(entry, spreads)))
        row += len(photos)
    return entries


def _with_twins(folder: Path, entries: list[Entry], alike: int) -> list[Entry]:
    """Name for each photo the earlier one that it looks like; those that are drawn as everybody's look like others."""
    own = [(entry, number) for entry in entries for number in range(alike, len(entry.photos))]
    if not own:
        return entries
    names = [f"{entry.key}/{number}" for entry, number in own]
    twins = find_twins(Shards(folder).read(PHOTOS, LOOKS, [(entry.shard, entry.row + number) for entry, number in own]))
    found = iter("" if twin is None else names[twin] for twin in twins)
    return [
        replace(
            entry,
            photos=(*entry.photos[:alike], *(replace(photo, twin=next(found)) for photo in entry.photos[alike:])),
        )
        for entry in entries
    ]


def _read_targets(banks: Sequence[Path]) -> dict[str, TargetFacts]:
    """Return what is known of targets by their identities' names."""
    targets: dict[str, TargetFacts] = {}
    for path in banks:
        for row, known in enumerate(read_bank_index(path)):
            facts = {name: known.training[name] for name in ("base_loss", "loss", "seconds", "likeness", "diverged")}
            targets[known.subjects[0].name] = TargetFacts(int(path.stem), row, **facts)
    return targets
