"""What photos of the kinds look like that a hypernetwork was trained on: whether one shows such a kind at all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from portraitist.evaluation.protocol import fill

# Of a kind's own photos so many are less like it than one that counts as strange; our choice.
_STRANGE = 0.005


@dataclass(frozen=True)
class KnownKinds:
    """Mean directions of an encoder's embeddings of each kind, and how near to them its photos are.

    Attributes:
        names: The kinds' class nouns.
        means: Of length one, ``[kinds, d]``.
        least: Cosine below which a photo is strange, by kind ``[kinds]``.
    """

    names: tuple[str, ...]
    means: Tensor
    least: Tensor

    @classmethod
    def learn(cls, embeddings: Tensor, kinds: Sequence[str]) -> "KnownKinds":
        """Learn from embeddings ``[n, d]`` of photos and the kind of each."""
        directions, names = F.normalize(embeddings.float(), dim=-1), tuple(dict.fromkeys(kinds))
        rows = [torch.tensor([kind == name for kind in kinds]) for name in names]
        means = torch.stack([F.normalize(directions[own].mean(0), dim=-1) for own in rows])
        least = [torch.quantile(directions[own] @ mean, _STRANGE) for own, mean in zip(rows, means, strict=True)]
        return cls(names, means, torch.stack(least))

    def warning(self, embedding: Tensor, kind: str) -> str | None:
        """Say in one line that a photo does not show the kind it is said to show; None if it may.

        Args:
            embedding: Of the photo, ``[d]``.
            kind: What it is said to show.
        """
        likeness = self.means @ F.normalize(embedding.float(), dim=-1)
        nearest = int(likeness.argmax())
        if likeness[nearest] < self.least[nearest]:
            shown = ", ".join(self.names)
            return f"the photo looks like nothing the hypernetwork was trained on ({shown}); expect little likeness"
        own = self.names.index(kind) if kind in self.names else nearest
        if likeness[own] < self.least[own]:
            shown = fill("a {}", self.names[nearest])
            return f"the photo looks like {shown}, not {fill('a {}', kind)}; give --class {self.names[nearest]}"
        return None

    def tensors(self) -> dict[str, Tensor]:
        """Return what is kept in a file."""
        return {"means": self.means, "least": self.least}

    @classmethod
    def of(cls, names: Sequence[str], tensors: Mapping[str, Tensor]) -> "KnownKinds":
        """Read what `tensors` gave.

        Raises:
            KeyError: If something is missing.
        """
        return cls(tuple(names), F.normalize(tensors["means"].float(), dim=-1), tensors["least"].float())
