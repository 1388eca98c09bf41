"""Mixed image features: what a face encoder and a general one say of a photo, mixed by a gate (DiffLoRA's MIF).

The paper has a gate after mixtures of experts; its equation is not known to us. Ours: both features, projected to one
width, are weighed by ``softmax(W2 silu(W1 [face; image]))``.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from portraitist.errors import BadConfig
from portraitist.hypernetworks.difflora.settings import Mixing
from portraitist.hypernetworks.networks.memory import Features, ProjectedFeatures, Projection, Shapes

_START = 0.02
_GATE_SHARE = 4  # the gate's hidden width is the mixed width over this
# What is left of the two when only one is seen, or both count alike.
_FIXED: dict[Mixing, tuple[float, float]] = {"face": (1.0, 0.0), "image": (0.0, 1.0), "mean": (0.5, 0.5)}


class MixedFeatures(ProjectedFeatures):
    """Features of photos ``[n, photos, 1, width]`` by source to one vector a person, ``[n, width]``.

    Args:
        sources: Names of the face's and the picture's features.
        shapes: What the features are.
        width: Of the mixed vector.
        mixing: How they are mixed.

    Raises:
        BadConfig: If there are not two.
    """

    def __init__(self, sources: Sequence[str], shapes: Shapes, width: int, mixing: Mixing) -> None:
        if len(sources) != 2:
            raise BadConfig(
                f"sight.encoders names {len(sources)} encoders; mixed features need two: one for faces, then one for"
                " pictures"
            )
        super().__init__(sources, shapes, width)
        self.mixing = mixing
        hidden = max(1, width // _GATE_SHARE)
        self.gate = nn.Sequential(nn.Linear(2 * width, hidden), nn.SiLU(), nn.Linear(hidden, 2))
        self.nobody = nn.Parameter(torch.randn(width) * _START)

    def forward(self, features: Features, unknown: Tensor | None = None) -> Tensor:
        """Return a vector for each person, the mean of those of their photos.

        Args:
            features: Of n persons' photos.
            unknown: Whose photos are taken away, ``[n]``; nobody's when None.
        """
        both = self._projected(features)
        mixed = (both * self._weigh(both).unsqueeze(-1)).sum(2).mean(1)
        return mixed if unknown is None else torch.where(unknown[:, None], self.nobody, mixed)

    def weights(self, features: Features) -> Tensor:
        """Return how much face and picture count in each photo, ``[n, photos, 2]``; the two add up to one."""
        return self._weigh(self._projected(features))

    def whitened(self, features: Features) -> Tensor:
        """Return both features of n persons, each whitened, the means of their photos side by side, ``[n, d]``."""
        parts = []
        for name, projection in zip(self.sources, self.projections, strict=True):
            assert isinstance(projection, Projection)
            parts.append(projection.whitened(features[name]).mean(1).flatten(1))
        return torch.cat(parts, 1)

    def _projected(self, features: Features) -> Tensor:
        """Return both features of each photo in one width, ``[n, photos, 2, width]``."""
        found = [project(features[name]) for name, project in zip(self.sources, self.projections, strict=True)]
        return torch.stack(found, 2)

    def _weigh(self, both: Tensor) -> Tensor:
        if self.mixing in _FIXED:
            return both.new_tensor(_FIXED[self.mixing]).expand(*both.shape[:2], 2)
        return F.softmax(self.gate(both.flatten(2)), -1)
