"""A token for each layer and rank, read by a few latent tokens and written from them (our arrangement).

Convolutions along flattened weights take neighbours for related, which numbers of a matrix are not. Here every layer
has linear maps of its own into and out of its tokens, and attention relates the layers.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from portraitist.hypernetworks.difflora.codecs.codec import WeightCodec
from portraitist.hypernetworks.difflora.settings import TokenSettings
from portraitist.hypernetworks.networks.layerwise import Layerwise
from portraitist.hypernetworks.weights.layout import WeightLayout

_START = 0.02


class TokenCodec(WeightCodec):
    """Tokens of layers and ranks, through a transformer into latent tokens, and through another one back.

    Args:
        settings: Widths and blocks.
        layout: Of the vectors.
    """

    def __init__(self, settings: TokenSettings, layout: WeightLayout) -> None:
        self.latents = settings.latents
        each = max(1, round(layout.count / settings.ratio / settings.latents))
        super().__init__(layout.count, settings.latents * each)
        self.layout = layout
        layers, rank, width = len(layout.layers), layout.rank, settings.width
        widths = {name: sum(piece.width for piece in layout.pieces if piece.layer == name) for name in layout.layers}
        self.widest = max(widths.values())
        self.read = Layerwise(layers, self.widest, width, self.widest**-0.5)
        self.write = Layerwise(layers, width, self.widest, width**-0.5)
        self.places = nn.Parameter(torch.randn(layers * rank, width) * _START)
        self.queries = nn.Parameter(torch.randn(settings.latents, width) * _START)
        self.wanted = nn.Parameter(torch.randn(layers * rank, width) * _START)
        self.latent_places = nn.Parameter(torch.randn(settings.latents, width) * _START)
        self.narrow, self.widen = nn.Linear(width, each), nn.Linear(each, width)
        self.reader, self.writer = (_transformer(settings) for _ in range(2))

    def encode(self, standard: Tensor) -> Tensor:
        """Return what the latent tokens read, side by side."""
        tokens = self._tokens(standard) + self.places
        read = self.reader(torch.cat([self.queries.expand(len(tokens), -1, -1), tokens], 1))
        return self.narrow(read[:, : self.latents]).flatten(1)

    def decode(self, latents: Tensor) -> Tensor:
        """Return LoRAs, each layer's and rank's numbers from a token."""
        memory = self.widen(latents.unflatten(1, (self.latents, -1))) + self.latent_places
        written = self.writer(torch.cat([memory, self.wanted.expand(len(memory), -1, -1)], 1))[:, self.latents :]
        rank, layers = self.layout.rank, len(self.layout.layers)
        rows = self.write(written.unflatten(1, (layers, rank)).transpose(1, 2).flatten(0, 1))
        return self._flat(rows.unflatten(0, (-1, rank)).transpose(1, 2))

    def _tokens(self, standard: Tensor) -> Tensor:
        """Return a token for each layer and rank, ``[n, layers * rank, width]``."""
        rows = torch.stack([F.pad(row, (0, self.widest - row.shape[-1])) for row in self._rows(standard)], 1)
        mapped = self.read(rows.transpose(1, 2).flatten(0, 1))
        return mapped.unflatten(0, (-1, self.layout.rank)).transpose(1, 2).flatten(1, 2)

    def _rows(self, standard: Tensor) -> list[Tensor]:
        """Return each layer's numbers by rank, ``[n, rank, width]``: those of A, where it is learnt, and of B."""
        parts: dict[str, list[Tensor]] = {name: [] for name in self.layout.layers}
        for piece in self.layout.pieces:
            parts[piece.layer].append(standard[:, piece.numbers].unflatten(1, (piece.rank, piece.width)))
        return [torch.cat(own, 2) for own in parts.values()]

    def _flat(self, rows: Tensor) -> Tensor:
        """Return vectors ``[n, P]`` of rows ``[n, layers, rank, widest]``."""
        used = dict.fromkeys(self.layout.layers, 0)
        numbers = {name: number for number, name in enumerate(self.layout.layers)}
        flat = []
        for piece in self.layout.pieces:
            first = used[piece.layer]
            flat.append(rows[:, numbers[piece.layer], :, first : first + piece.width].flatten(1))
            used[piece.layer] += piece.width
        return torch.cat(flat, 1)


def _transformer(settings: TokenSettings) -> nn.TransformerEncoder:
    block = nn.TransformerEncoderLayer(
        settings.width, settings.heads, 4 * settings.width, 0.0, "gelu", batch_first=True, norm_first=True
    )
    norm = nn.LayerNorm(settings.width)
    return nn.TransformerEncoder(block, settings.blocks, norm, enable_nested_tensor=False)
