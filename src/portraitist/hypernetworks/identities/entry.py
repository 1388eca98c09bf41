"""What the index says of an identity, its photos and its target."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from portraitist.bases.families import Framing


@dataclass(frozen=True)
class PhotoFacts:
    """What is known of a photo.

    Attributes:
        caption: What is to be seen in it, as completely as the source says it.
        prompt: What a base is to be asked for it: the identity's words and the scene.
        labels: JSON-able facts about it; empty where the source has none.
        sha256: Of its pixels.
        twin: The photo that it looks like, ``person-3f9a1c/2``; empty where there is none.
        framing: How it was cut.
    """

    caption: str
    prompt: str
    labels: Mapping[str, Any]
    sha256: str
    framing: Framing
    twin: str = ""


@dataclass(frozen=True)
class TargetFacts:
    """What is known of a target adapter.

    Attributes:
        bank: Number of the bank's file.
        row: Which of its adapters.
        base_loss: Mean error on the identity's photos, at fixed noise, of the base alone,
        loss: and with the adapter.
        seconds: Its share of the bank's training time.
        likeness: Mean cosine of a picture drawn with it to the photos, by the set's first encoder; None without one.
        diverged: Whether it diverged, and stayed what it was before.
    """

    bank: int
    row: int
    base_loss: float
    loss: float
    seconds: float
    likeness: float | None = None
    diverged: bool = False


@dataclass(frozen=True)
class Entry:
    """An identity of a set.

    Attributes:
        number: Its number in the set.
        key: Its name, unique in the set.
        kind: What kind of thing it is.
        class_noun: The word for that in prompts.
        split: ``train``, ``validation`` or ``test``, decided by who it is.
        prompt: What a base is asked for it without a scene: ``a photo of a sks person``.
        seed: Seed of its photos.
        shard: Where its photos are,
        row: the first of them there,
        first: and in the set.
        photos: What is known of each photo.
        provenance: JSON-able facts about who it is and whose photos these are.
        target: Its target adapter; None where there is none (yet).
        flags: Why it is not good to learn from; empty if it is.
    """

    number: int
    key: str
    kind: str
    class_noun: str
    split: str
    prompt: str
    seed: int
    shard: int
    row: int
    first: int
    photos: tuple[PhotoFacts, ...] = field(repr=False)
    provenance: Mapping[str, Any] = field(default_factory=dict, repr=False)
    target: TargetFacts | None = None
    flags: tuple[str, ...] = ()

    @property
    def is_good(self) -> bool:
        """Say whether it has no flags."""
        return not self.flags

    @property
    def numbers(self) -> range:
        """Return the numbers of its photos in the set."""
        return range(self.first, self.first + len(self.photos))

    @cached_property
    def different(self) -> list[int]:
        """Return the numbers of its photos, of several with the same pixels only the first."""
        seen: dict[str, int] = {}
        for number, photo in zip(self.numbers, self.photos, strict=True):
            seen.setdefault(photo.sha256, number)
        return list(seen.values())
