"""What a hypernetwork is trained on: an opened set of identities, and the features of all its photos, computed once."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from portraitist.cache import content_key
from portraitist.errors import BadConfig, BaseMismatch
from portraitist.files import require_writable, write_aside
from portraitist.fingerprints import same_weights
from portraitist.hypernetworks.identities.entry import Entry
from portraitist.hypernetworks.identities.identity_set import IdentitySet
from portraitist.hypernetworks.settings import LossSettings
from portraitist.hypernetworks.sight import Sight
from portraitist.progress import track

_AT_ONCE = 16  # photos that are looked at together
_DONE = "done.json"
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
    """Return the features of all photos, those that are wanted looked at."""
    wanted = [number for entry in identities for number in entry.numbers]
    total = max(wanted) + 1
    settings = sight.settings.model_dump_json()
    key = content_key(settings, *(each.revision for each in sight.facts), identities.settings.model_dump_json())
    done = _read_done(folder, key)
    sample = sight.see([identities.picture(wanted[0])])
    names = {name: folder / f"{number:02d}.npy" for number, name in enumerate(sorted(sample))}
    if not done:
        sizes = {name: (total, *values.shape[1:]) for name, values in sample.items()}
        require_writable(folder, sum(_BYTES * int(np.prod(size)) for size in sizes.values()))
        for name, size in sizes.items():
            with write_aside(names[name]) as temporary:
                np.lib.format.open_memmap(temporary, "w+", np.float16, size).flush()
    maps = {name: np.lib.format.open_memmap(path, "r+") for name, path in names.items()}
    with track(len(wanted), "looking at photos", completed=done) as progress:
        for start in range(done, len(wanted), _AT_ONCE):
            numbers = wanted[start : start + _AT_ONCE]
            pixels = identities.photos(numbers).permute(0, 2, 3, 1).numpy()
            for name, values in sight.see([Image.fromarray(each) for each in pixels]).items():
                maps[name][numbers] = values.numpy()
            for written in maps.values():
                written.flush()
            _write_done(folder, key, start + len(numbers))
            progress.advance(len(numbers))
    return {name: np.load(path, mmap_mode="r") for name, path in names.items()}


def _read_done(folder: Path, key: str) -> int:
    """Return how many photos were looked at in the same way before."""
    path = folder / _DONE
    known = json.loads(path.read_text()) if path.exists() else {}
    return int(known.get("photos", 0)) if known.get("key") == key else 0


def _write_done(folder: Path, key: str, photos: int) -> None:
    with write_aside(folder / _DONE) as temporary:
        temporary.write_text(json.dumps({"key": key, "photos": photos}) + "\n")
