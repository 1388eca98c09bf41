"""Photos as a decoder sees them: the frozen encoders' features as tokens of one width."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

# Features by source, ``[n, photos, tokens, width]``.
Features = Mapping[str, Tensor]
# Tokens and their width, by source.
Shapes = Mapping[str, tuple[int, int]]
_START = 0.02  # deviation of learned tokens at the start, as in BERT (arXiv 1810.04805)
_SMALLEST = 1e-4


class ProjectedFeatures(nn.Module):
    """What looks at features of photos: each source's are standardised and brought to one width.

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
        """Take each channel's mean and deviation from the features of many photos."""
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

    def forward(self, features: Features, unknown: Tensor | None = None) -> Tensor:
        """Return the memory ``[n, photos * tokens, width]``.

        Args:
            features: Of every source that the network was built for.
            unknown: Whose photos are taken away, ``[n]``; nobody's when None.
        """
        parts = [project(features[name]) for name, project in zip(self.sources, self.projections, strict=True)]
        memory = torch.cat(parts, 1)
        return memory if unknown is None else torch.where(unknown[:, None, None], self.nobody, memory)


class Projection(nn.Module):
    """One source's features ``[n, photos, tokens, inputs]``, standardised, to ``[n, photos * tokens, width]``."""

    centre: Tensor
    spread: Tensor

    def __init__(self, tokens: int, inputs: int, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, width)
        self.positions = nn.Parameter(torch.randn(tokens, width) * _START)
        self.register_buffer("centre", torch.zeros(inputs))
        self.register_buffer("spread", torch.ones(inputs))

    def fit(self, values: Tensor) -> None:
        """Take each channel's mean and deviation from values of any leading shape."""
        flat = values.float().flatten(0, -2)
        self.centre.copy_(flat.mean(0))
        self.spread.copy_(flat.std(0).clamp(min=_SMALLEST))

    def standardised(self, values: Tensor) -> Tensor:
        """Return features of mean 0 and variance 1, channel by channel."""
        return (values.float() - self.centre) / self.spread

    def forward(self, values: Tensor) -> Tensor:
        """Return tokens."""
        return (self.linear(self.standardised(values)) + self.positions).flatten(1, 2)
