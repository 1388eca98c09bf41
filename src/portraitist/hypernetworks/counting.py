"""Whether a photo shows one subject, several or none, as far as an encoder that reads text can tell."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from portraitist.evaluation.encoders import EmbedsTexts, Encoder, embed_captions

Count = Literal["one", "several", "none"]
_ONE = ("a photo of a {}",)
_SEVERAL = ("a photo of a {} and a {}", "a photo of a {} next to a {}")
_NONE = tuple(
    f"a photo {place}"
    for place in (
        *("on the beach", "in the snow", "in the forest", "in the city at night"),
        *("in space", "in the desert", "in a room", "under water"),
    )
)
# In standard deviations of a photo's cosines to all texts: so much nearer must the nearest text be that says something
# else than one subject. Encoders' cosines differ in scale; our choice, by toyland's photos.
_CLEARLY = 0.4


class SubjectCounter:
    """Compares photos with texts about one of some kinds, two of them, and places without anybody.

    Args:
        name: Of the encoder.
        reader: The encoder, which reads text.
        kinds: Class nouns.
    """

    def __init__(self, name: str, reader: EmbedsTexts, kinds: Sequence[str]) -> None:
        self.name = name
        texts: dict[Count, list[str]] = {
            "one": [text.format(kind) for text in _ONE for kind in kinds],
            "several": [text.format(one, other) for text in _SEVERAL for one in kinds for other in kinds],
            "none": list(_NONE),
        }
        self.texts = [text for each in texts.values() for text in each]
        self._meaning: list[Count] = [count for count, each in texts.items() for _ in each]
        self._embedded = embed_captions(reader, self.texts)

    @classmethod
    def among(cls, encoders: Sequence[Encoder], kinds: Sequence[str]) -> "SubjectCounter | None":
        """Return one with the first of some encoders that reads text; None if none does."""
        for encoder in encoders:
            if isinstance(encoder, EmbedsTexts):
                return cls(encoder.name, encoder, kinds)
        return None

    def count(self, embedding: Tensor) -> tuple[Count, str]:
        """Say what a photo shows, and the text that it is nearest to.

        Args:
            embedding: Of the photo by the encoder, ``[d]``.
        """
        cosines = self._embedded @ F.normalize(embedding.float().cpu(), dim=-1)
        best = {count: float(cosines[self._rows(count)].max()) for count in ("one", "several", "none")}
        needed = best["one"] + _CLEARLY * float(cosines.std())
        found: Count = "several" if best["several"] >= best["none"] else "none"
        if best[found] <= needed:
            found = "one"
        rows = self._rows(found)
        return found, self.texts[int(rows[int(cosines[rows].argmax())])]

    def _rows(self, count: str) -> Tensor:
        return torch.tensor([row for row, meaning in enumerate(self._meaning) if meaning == count])
