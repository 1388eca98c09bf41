"""What a hypernetwork is trained on: an opened set of identities, and the features of all its photos, computed once."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from portraitist.cache import checksum, content_key, warn_of_damage
from portraitist.errors import BadConfig, BaseMismatch
from portraitist.files import require_writable, write_aside
from portraitist.fingerprints import same_weights
from portraitist.hypernetworks.identities.entry import Entry
from portraitist.hypernetworks.identities.identity_set import IdentitySet
from portraitist.hypernetworks.settings import LossSettings
from portraitist.hypernetworks.sight import Sight
from portraitist.progress import track

_AT_ONCE = 16  # photos that are looked at together
_CHECKSUMS = "checksums.txt"
_BYTES = 2  # of a number in float16


@dataclass(frozen=True)
class Draw:
    """One sample.

    Attributes:
        entry: Whose.
        references: Numbers of the photos that are seen.
        target: Number of the photo that is to be made.
    """

    entry: Entry
    references: tuple[int, ...]
    target: int


class Material:
    """Identities and what is seen of their photos.

    Args:
        identities: Those to train on.
        features: By source ``[photos of the whole set, tokens, width]``, memory-mapped.
    """

    def __init__(self, identities: IdentitySet, features: Mapping[str, np.ndarray]) -> None:
        self.identities, self._features = identities, features

    @classmethod
    def gather(cls, identities: IdentitySet, sight: Sight, folder: Path) -> "Material":
        """Look at all photos of some identities, or take up what was seen of them before.

        Args:
            identities: Those to train on.
            sight: What is seen.
            folder: Where the features are kept; an interrupted run goes on.

        Raises:
            BaseMismatch: If the set was made with another base.
            BadConfig: If there is nobody in it.
        """
        if not len(identities):
            raise BadConfig(f"{identities.folder} has no identities that could be trained on")
        settings = identities.settings
        if not same_weights(settings.fingerprint, sight.base.fingerprint):
            raise BaseMismatch(
                f"{identities.folder} holds latents of {settings.base} (fingerprint {settings.fingerprint}), not of"
                f" {sight.base.name} ({sight.base.fingerprint}); give --base {settings.base}"
            )
        return cls(identities, _look(identities, sight, folder))

    @property
    def shapes(self) -> dict[str, tuple[int, int]]:
        """Return what the features of a photo are."""
        return {name: (values.shape[1], values.shape[2]) for name, values in self._features.items()}

    def features(self, photos: Sequence[Sequence[int]]) -> dict[str, Tensor]:
        """Return features by source, ``[n, photos, tokens, width]``, of as many photos for each of n."""
        rows = np.asarray(photos)
        return {
            name: torch.from_numpy(np.ascontiguousarray(values[rows.ravel()])).unflatten(0, rows.shape)
            for name, values in self._features.items()
        }

    def draw(self, rng: np.random.Generator, count: int, settings: LossSettings) -> list[Draw]:
        """Draw samples, all with as many photos to be seen."""
        seen = int(rng.integers(1, settings.photos + 1))
        if not settings.other_photo:
            chosen = [self.identities[int(who)] for who in rng.integers(len(self.identities), size=count)]
            pairs = [(entry, int(rng.choice(entry.different))) for entry in chosen]
            return [Draw(entry, (photo, *_others(rng, entry, photo, seen - 1)), photo) for entry, photo in pairs]
        drawn = []
        for pair in self.identities.pairs(rng, count):
            more = _others(rng, pair.entry, pair.target, seen - 1)
            drawn.append(Draw(pair.entry, (pair.reference, *more), pair.target))
        return drawn


def _others(rng: np.random.Generator, entry: Entry, photo: int, count: int) -> tuple[int, ...]:
    """Draw photos of somebody, one not among them if there are others; the same perhaps twice."""
    choice = [number for number in entry.different if number != photo] or [photo]
    return tuple(int(number) for number in rng.choice(choice, count))


def _look(identities: IdentitySet, sight: Sight, folder: Path) -> dict[str, np.ndarray]:
    """Return the features of all photos, those that are wanted looked at.

    Every few photos' features have a checksum of their own, by which they are known again: from the first that does not
    match on, they are made anew.
    """
    wanted = [number for entry in identities for number in entry.numbers]
    parts = [wanted[start : start + _AT_ONCE] for start in range(0, len(wanted), _AT_ONCE)]
    looks = (sight.settings.model_dump_json(), *(each.revision for each in sight.facts))
    key = content_key(*looks, identities.settings.model_dump_json(), json.dumps(wanted))
    sample = sight.see([identities.picture(wanted[0])])
    sizes = {name: (max(wanted) + 1, *values.shape[1:]) for name, values in sample.items()}
    paths = {name: folder / f"{number:02d}.npy" for number, name in enumerate(sorted(sizes))}
    maps, noted = _open(paths, sizes), _read_checksums(folder, key)
    sound = 0
    while maps and sound < min(len(noted), len(parts)) and noted[sound] == _checksum(maps, parts[sound], key):
        sound += 1
    if sound < len(noted):
        warn_of_damage(folder)
    if not maps:
        require_writable(folder, sum(_BYTES * int(np.prod(size)) for size in sizes.values()))
        for name, size in sizes.items():
            with write_aside(paths[name]) as temporary:
                np.lib.format.open_memmap(temporary, "w+", np.float16, size).flush()
        maps = _open(paths, sizes)
    with write_aside(folder / _CHECKSUMS) as temporary:
        temporary.write_text("".join(f"{line}\n" for line in (key, *noted[:sound])))
    with track(len(wanted), "looking at photos", completed=sum(map(len, parts[:sound]))) as progress:
        for numbers in parts[sound:]:
            pixels = identities.photos(numbers).permute(0, 2, 3, 1).numpy()
            photos = [Image.fromarray(each) for each in pixels]
            for name, values in sight.see(photos, identities.latents(numbers).mean).items():
                maps[name][numbers] = values.numpy()
                maps[name].flush()
            with (folder / _CHECKSUMS).open("a") as file:
                file.write(f"{_checksum(maps, numbers, key)}\n")
            progress.advance(len(numbers))
    return {name: np.load(path, mmap_mode="r") for name, path in paths.items()}


def _open(paths: Mapping[str, Path], sizes: Mapping[str, tuple[int, ...]]) -> dict[str, np.memmap[Any, Any]]:
    """Return features that are there, to be read and written; nothing if one of them is not, or not as it should be."""
    try:
        maps = {name: np.lib.format.open_memmap(path, "r+") for name, path in paths.items()}
    except (OSError, ValueError):
        return {}
    fit = all(each.dtype == np.float16 and each.shape == sizes[name] for name, each in maps.items())
    return maps if fit else {}


def _checksum(maps: Mapping[str, np.ndarray], photos: Sequence[int], key: str) -> str:
    """Return a hash of the features of some photos and of what they depend on."""
    return checksum({name: torch.from_numpy(values[photos]) for name, values in maps.items()}, key, json.dumps(photos))


def _read_checksums(folder: Path, key: str) -> list[str]:
    """Return the checksums of the features that were made in the same way before, a few photos' each."""
    try:
        known, *noted = (folder / _CHECKSUMS).read_text(errors="replace").splitlines()
    except (OSError, ValueError):  # none yet, or an empty file
        return []
    return noted if known == key else []
