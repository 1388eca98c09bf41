"""A transformer over latent tokens with adaLN-Zero, as DiT has it (arXiv 2212.09748, section 3.2).

Every block is steered by one vector, of the timestep and of the photos: scales and shifts of its two norms and gates of
its two branches, which are zero at the start, so that the network begins as the identity with an output of zero.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from portraitist.errors import BadConfig
from portraitist.hypernetworks.difflora.settings import GeneratorSettings

_START = 0.02
_FREQUENCIES = 256  # sines and cosines of a timestep, as in DiT
_LONGEST = 10_000
_GROWTH = 4  # of the feed-forward's hidden width


class LatentTransformer(nn.Module):
    """Latents ``[n, size]`` at timesteps ``[n]``, with a vector of the photos ``[n, width]``, to latents ``[n, size]``.

    Args:
        settings: Depth, width, heads and tokens.
        size: Numbers of a latent, which is padded with zeros to whole tokens.

    Raises:
        BadConfig: If the heads do not divide the width.
    """

    def __init__(self, settings: GeneratorSettings, size: int) -> None:
        super().__init__()
        if settings.width % settings.heads:
            raise BadConfig(f"generator.heads={settings.heads} does not divide generator.width={settings.width}")
        self.size, self.tokens, width = size, min(settings.tokens, size), settings.width
        self.piece = math.ceil(size / self.tokens)
        self.read = nn.Linear(self.piece, width)
        self.positions = nn.Parameter(torch.randn(self.tokens, width) * _START)
        self.time = nn.Sequential(nn.Linear(_FREQUENCIES, width), nn.SiLU(), nn.Linear(width, width))
        self.blocks = nn.ModuleList(_Block(width, settings.heads, settings.dropout) for _ in range(settings.depth))
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.steer = _zeroed(nn.Linear(width, 2 * width))
        self.write = _zeroed(nn.Linear(width, self.piece))

    def forward(self, latents: Tensor, timesteps: Tensor, photos: Tensor) -> Tensor:
        """Return what the process of training asks for: the clean latent, or the velocity."""
        padded = F.pad(latents, (0, self.tokens * self.piece - self.size))
        hidden = self.read(padded.unflatten(1, (self.tokens, self.piece))) + self.positions
        steering = F.silu(self.time(_waves(timesteps)) + photos)
        for block in self.blocks:
            hidden = block(hidden, steering)
        shift, scale = self.steer(steering).unsqueeze(1).chunk(2, -1)
        return self.write(self.norm(hidden) * (1 + scale) + shift).flatten(1)[:, : self.size]


class _Block(nn.Module):
    """Attention and feed-forward, each normalised, scaled, shifted and gated by what steers."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, nn.Dropout(dropout)
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.steer = _zeroed(nn.Linear(width, 6 * width))
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.feed = nn.Sequential(nn.Linear(width, _GROWTH * width), nn.GELU("tanh"), nn.Linear(_GROWTH * width, width))

    def forward(self, hidden: Tensor, steering: Tensor) -> Tensor:
        shift, scale, gate, feed_shift, feed_scale, feed_gate = self.steer(steering).unsqueeze(1).chunk(6, -1)
        attended = self._attend(self.norm(hidden) * (1 + scale) + shift)
        hidden = hidden + gate * self.dropout(attended)
        fed = self.feed(self.norm(hidden) * (1 + feed_scale) + feed_shift)
        return hidden + feed_gate * self.dropout(fed)

    def _attend(self, x: Tensor) -> Tensor:
        query, key, value = self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return self.out(F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2))


def _zeroed(linear: nn.Linear) -> nn.Linear:
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear


def _waves(timesteps: Tensor) -> Tensor:
    """Return sines and cosines of timesteps ``[n]``, ``[n, 256]``."""
    half = _FREQUENCIES // 2
    rates = torch.exp(-math.log(_LONGEST) * torch.arange(half, device=timesteps.device) / half)
    angles = timesteps.float().unsqueeze(1) * rates
    return torch.cat([angles.cos(), angles.sin()], 1)
