"""A set of identities, opened: who is in it, and any photo, latent, feature or target without reading the others."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import overload

import numpy as np
from PIL import Image
from torch import Tensor

from portraitist.adapters import Adapter
from portraitist.adapters.banks import load_bank, stack, unstack
from portraitist.errors import BadConfig
from portraitist.evaluation.encoders import EncoderFacts
from portraitist.hypernetworks.identities.entry import Entry
from portraitist.hypernetworks.identities.index import read_index
from portraitist.hypernetworks.identities.settings import SetSettings, read_settings
from portraitist.hypernetworks.identities.shards import (
    DEVIATION,
    EMBEDDINGS,
    LATENTS,
    MEAN,
    PHOTOS,
    PIXELS,
    TARGETS,
    Place,
    Shards,
    features_stage,
    shard_path,
)
from portraitist.training.inputs.latents import Latents

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Pair:
    """Two different photos of one identity.

    Attributes:
        entry: The identity.
        reference: Number of the photo that a network sees.
        target: Number of the photo that its adapter shall be able to make.
    """

    entry: Entry
    reference: int
    target: int


class IdentitySet(Sequence[Entry]):
    """Identities of a set, all or some; photos have numbers of their own, counted through the whole set.

    Args:
        settings: What decided the set.
        whole: All of its identities.
        shards: Their tensors.
        members: Those that are meant; all when not given.
    """

    def __init__(
        self, settings: SetSettings, whole: Sequence[Entry], shards: Shards, members: Sequence[Entry] | None = None
    ) -> None:
        self.settings, self._whole, self._shards = settings, whole, shards
        self.members = list(whole if members is None else members)
        self._firsts = [entry.first for entry in whole]

    @classmethod
    def open(cls, folder: str | Path) -> "IdentitySet":
        """Open the set in a folder, also one that is not finished yet: with the identities that are.

        Raises:
            BadFile: If there is none, or it is damaged.
            MissingExtra: If pyarrow is not installed.
        """
        folder = Path(folder)
        settings = read_settings(folder)
        return cls(settings, read_index(folder), Shards(folder))

    @property
    def folder(self) -> Path:
        """Return where the set is."""
        return self._shards.folder

    def __len__(self) -> int:
        return len(self.members)

    @overload
    def __getitem__(self, place: int) -> Entry: ...
    @overload
    def __getitem__(self, place: slice) -> list[Entry]: ...
    def __getitem__(self, place: int | slice) -> Entry | list[Entry]:
        return self.members[place]

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.members)

    @property
    def kinds(self) -> dict[str, int]:
        """Return how many identities there are of each kind."""
        return dict(Counter(entry.kind for entry in self.members))

    def part(self, split: str) -> "IdentitySet":
        """Return the identities of a split: ``train``, ``validation`` or ``test``.

        Who is in which follows from who it is alone, so that nobody is ever in two, whatever else is in a set.

        Raises:
            BadConfig: If there is no such split, or nobody in it.
        """
        if split not in SPLITS:
            raise BadConfig(f"identities are split into {', '.join(SPLITS)}, not {split!r}")
        members = [entry for entry in self.members if entry.split == split]
        if not members:
            raise BadConfig(
                f"{self.folder} has no identities to be used for {split}: it was made with --split"
                f" {self.settings.split}; make one with --split {split}"
            )
        return self._view(members)

    def of_kinds(self, kinds: Iterable[str]) -> "IdentitySet":
        """Return the identities of some kinds."""
        wanted = set(kinds)
        return self._view([entry for entry in self.members if entry.kind in wanted])

    def good(self) -> "IdentitySet":
        """Return the identities without flags."""
        return self._view([entry for entry in self.members if entry.is_good])

    def with_targets(self) -> "IdentitySet":
        """Return the identities that have a target adapter."""
        return self._view([entry for entry in self.members if entry.target is not None])

    def first(self, count: int) -> "IdentitySet":
        """Return the first so many identities."""
        return self._view(self.members[:count])

    def _view(self, members: Sequence[Entry]) -> "IdentitySet":
        return IdentitySet(self.settings, self._whole, self._shards, members)

    def owner(self, photo: int) -> Entry:
        """Return whose photo a number is.

        Raises:
            BadConfig: If the set has no such photo.
        """
        place = bisect_right(self._firsts, photo) - 1
        if place < 0 or photo not in self._whole[place].numbers:
            raise BadConfig(f"{self.folder} has no photo {photo}")
        return self._whole[place]

    def photos(self, photos: Sequence[int]) -> Tensor:
        """Return photos by number, uint8 ``[n, 3, side, side]``."""
        return self._shards.read(PHOTOS, PIXELS, self._places(photos)).permute(0, 3, 1, 2)

    def picture(self, photo: int) -> Image.Image:
        """Return a photo as a picture."""
        return Image.fromarray(self._shards.read(PHOTOS, PIXELS, self._places([photo]))[0].numpy())

    def prompts(self, photos: Sequence[int]) -> list[str]:
        """Return the prompts of photos: the identity's words in the photo's scene."""
        owners = [(self.owner(photo), photo) for photo in photos]
        return [owner.photos[photo - owner.first].prompt for owner, photo in owners]

    def latents(self, photos: Sequence[int]) -> Latents:
        """Return the latents of photos, with their prompts and framings."""
        places, owners = self._places(photos), [self.owner(photo) for photo in photos]
        framings = [owner.photos[photo - owner.first].framing for owner, photo in zip(owners, photos, strict=True)]
        mean, deviation = (self._shards.read(LATENTS, name, places) for name in (MEAN, DEVIATION))
        return Latents(mean, deviation, tuple(framings), tuple(self.prompts(photos)))

    def encoder(self, name: str) -> EncoderFacts:
        """Return what is known of an encoder whose features are kept.

        Raises:
            BadConfig: If none are, naming those that are.
        """
        found = next((encoder for encoder in self.settings.encoders if encoder.name == name), None)
        if found is None:
            kept = ", ".join(encoder.name for encoder in self.settings.encoders) or "none"
            raise BadConfig(f"{self.folder} keeps no features of {name}; it keeps those of: {kept}")
        return found

    def features(self, encoder: str, photos: Sequence[int]) -> Tensor:
        """Return an encoder's embeddings of photos as it gives them, not normalised, float32 ``[n, d]``."""
        return self._shards.read(features_stage(self.encoder(encoder)), EMBEDDINGS, self._places(photos))

    def targets(self, entries: Sequence[Entry]) -> Adapter:
        """Return the target adapters of identities as a bank, in their order.

        Raises:
            BadConfig: If one of them has none.
        """
        places: list[Place] = []
        for entry in entries:
            if entry.target is None:
                raise BadConfig(f"{entry.key} in {self.folder} has no target adapter; choose with `with_targets()`")
            places.append((entry.target.bank, entry.target.row))
        rows: dict[int, list[int]] = {}
        for bank, row in dict.fromkeys(places):
            rows.setdefault(bank, []).append(row)
        found: dict[Place, Adapter] = {}
        for bank, chosen in rows.items():
            read = unstack(load_bank(shard_path(self.folder, TARGETS, bank), chosen))
            found.update({(bank, row): adapter for row, adapter in zip(chosen, read, strict=True)})
        return stack([found[place] for place in places])

    def own_photos(self, entry: Entry) -> range:
        """Return the numbers of somebody's photos that are not drawn as everybody's are; of all where all are."""
        return entry.numbers[self.settings.alike :] or entry.numbers

    def pairs(self, rng: np.random.Generator, count: int) -> list[Pair]:
        """Draw identities, each as likely as any other, and two photos of each that are not the same.

        Raises:
            BadConfig: If nobody has two different photos.
        """
        if not self._with_choice:
            raise BadConfig(f"nobody among these identities of {self.folder} has two different photos")
        pairs = []
        for who in rng.integers(len(self._with_choice), size=count):
            entry, photos = self._with_choice[who]
            reference, target = rng.choice(photos, 2, replace=False)
            pairs.append(Pair(entry, int(reference), int(target)))
        return pairs

    @cached_property
    def _with_choice(self) -> list[tuple[Entry, list[int]]]:
        """Return the identities with two different photos or more, and these."""
        return [(entry, photos) for entry in self.members if len(photos := entry.different) > 1]

    def _places(self, photos: Sequence[int]) -> list[Place]:
        owners = [(self.owner(photo), photo) for photo in photos]
        return [(owner.shard, owner.row + photo - owner.first) for owner, photo in owners]
