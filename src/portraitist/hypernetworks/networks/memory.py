"""Photos as a decoder sees them: the frozen encoders' features as tokens of one width."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

# Features by source, ``[n, photos, tokens, width]``.
Features = Mapping[str, Tensor]
# Tokens and their width, by source.
Shapes = Mapping[str, tuple[int, int]]
_START = 0.02  # deviation of learned tokens at the start, as in BERT (arXiv 1810.04805)
# Of the mean variance of a source's features: what varies less counts less.
_LEAST_SHARE = 0.01
_SMALLEST = 1e-8


class ProjectedFeatures(nn.Module):
    """What looks at features of photos: each source's are whitened and brought to one width.

    Args:
        sources: Names of those that it looks at, in order.
        shapes: What the features of a photo are.
        width: The width.
    """

    def __init__(self, sources: Sequence[str], shapes: Shapes, width: int) -> None:
        super().__init__()
        self.sources = tuple(sources)
        self.projections = nn.ModuleList(Projection(*shapes[name], width) for name in self.sources)

    @torch.no_grad()
    def fit(self, features: Features) -> None:
        """Take means and covariances from the features of many photos."""
        for name, projection in zip(self.sources, self.projections, strict=True):
            assert isinstance(projection, Projection)
            projection.fit(features[name])


class Memory(ProjectedFeatures):
    """Projected features of one or several photos, side by side: photos of one person have no order.

    Args:
        shapes: What the features of a photo are.
        width: Width of the memory.
    """

    def __init__(self, shapes: Shapes, width: int) -> None:
        super().__init__(sorted(shapes), shapes, width)
        self.nobody = nn.Parameter(torch.randn(1, width) * _START)

    def forward(self, features: Features, unknown: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the memory ``[n, photos * tokens, width]``, and the mean of each source's, ``[n, sources * width]``.

        Args:
            features: Of every source that the network was built for.
            unknown: Whose photos are taken away, ``[n]``; nobody's when None.
        """
        parts = [project(features[name]) for name, project in zip(self.sources, self.projections, strict=True)]
        if unknown is not None:
            parts = [torch.where(unknown[:, None, None], self.nobody, part) for part in parts]
        return torch.cat(parts, 1), torch.cat([part.mean(1) for part in parts], 1)


class Projection(nn.Module):
    """One source's features ``[n, photos, tokens, inputs]``, whitened, to ``[n, photos * tokens, width]``.

    What tells kinds apart fills most of an embedding; what tells one person from another is small beside it, and would
    be learned last. Whitened, all of it counts alike.
    """

    centre: Tensor
    whitening: Tensor

    def __init__(self, tokens: int, inputs: int, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, width)
        self.positions = nn.Parameter(torch.randn(tokens, width) * _START)
        self.register_buffer("centre", torch.zeros(inputs))
        self.register_buffer("whitening", torch.eye(inputs))

    def fit(self, values: Tensor) -> None:
        """Take mean and covariance from values of any leading shape; what hardly varies stays small."""
        flat = values.double().flatten(0, -2)
        self.centre.copy_(flat.mean(0))
        variances, axes = torch.linalg.eigh(torch.cov(flat.T).reshape(2 * [flat.shape[1]]))
        least = (_LEAST_SHARE * variances.mean()).clamp(min=_SMALLEST)
        self.whitening.copy_(axes / (variances.clamp(min=0) + least).sqrt() @ axes.T)

    def whitened(self, values: Tensor) -> Tensor:
        """Return features of mean 0 and variance 1 in every direction."""
        return (values.float() - self.centre) @ self.whitening

    def forward(self, values: Tensor) -> Tensor:
        """Return tokens."""
        return (self.linear(self.whitened(values)) + self.positions).flatten(1, 2)
