"""The contract of a source of identities."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from portraitist.bases.families import Framing


@dataclass(frozen=True)
class Photo:
    """A photo of an identity.

    Attributes:
        pixels: uint8 ``[side, side, 3]``.
        caption: What is to be seen, as completely as the source says it.
        prompt: What a base is to be asked for it.
        labels: JSON-able facts about it.
        framing: How it was cut.
    """

    pixels: np.ndarray
    caption: str
    prompt: str
    framing: Framing
    labels: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Identity:
    """Somebody or something, with photos.

    Attributes:
        key: Its name, unique in its source.
        kind: What kind of thing it is.
        class_noun: The word for that in prompts.
        split: ``train``, ``validation`` or ``test``; it follows from who it is alone.
        seed: Seed of its photos.
        prompt: What a base is asked for it without a scene.
        photos: Its photos, each in a setting of its own where there are enough.
        provenance: JSON-able facts about who it is and whose photos these are.
    """

    key: str
    kind: str
    class_noun: str
    split: str
    seed: int
    prompt: str
    photos: tuple[Photo, ...]
    provenance: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Words:
    """How a base is asked for an identity.

    Attributes:
        template: A recipe's prompt: ``a photo of a {}``.
        token: The rare word that means the identity.
    """

    template: str
    token: str

    def plain(self, class_noun: str) -> str:
        """Return the prompt without a scene: ``a photo of a sks person``."""
        return self.template.replace("{}", f"{self.token} {class_noun}")

    def placed(self, class_noun: str, place: str) -> str:
        """Return the prompt with a scene: ``a photo of a sks person on the beach``."""
        return f"{self.plain(class_noun)} {place}"


class Source(Protocol):
    """Identities, each the same whenever it is asked for."""

    @property
    def name(self) -> str:
        """What the user calls it: ``toyland:people``, or a folder."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of its identities."""

    @property
    def count(self) -> int:
        """How many identities there are."""

    def identity(self, index: int) -> Identity:
        """Return an identity with its photos, whose key is unlike those of all others."""
