"""One-dimensional convolutions along the flattened weights, as DiffLoRA's autoencoder has them (arXiv 2408.06740).

The paper names the main layers and a compression of nearly 300 times; strides, channels and kernels are our choice,
near those of Neural Network Diffusion (arXiv 2402.13144), but without its normalisation over the whole vector, which
erases how large a LoRA is.
"""

from collections.abc import Sequence
from math import ceil, prod

from torch import Tensor, nn
from torch.nn import functional as F

from portraitist.errors import BadConfig
from portraitist.hypernetworks.difflora.codecs.codec import WeightCodec
from portraitist.hypernetworks.difflora.settings import ConvolutionSettings

_KERNEL = 5


class ConvolutionalCodec(WeightCodec):
    """Stages of a strided convolution and a residual one; vectors are padded with zeros to whole strides.

    Args:
        settings: Strides and channels.
        count: Numbers of a LoRA, P.

    Raises:
        BadConfig: If strides and channels are not as many.
    """

    def __init__(self, settings: ConvolutionSettings, count: int) -> None:
        strides, channels = settings.strides, settings.channels
        if len(strides) != len(channels):
            raise BadConfig(f"autoencoder.strides has {len(strides)} stages, autoencoder.channels {len(channels)}")
        self.stride, self.channels = prod(strides), settings.latent_channels
        super().__init__(count, ceil(count / self.stride) * self.channels)
        self.encoder = nn.Sequential(*_down(strides, channels), nn.Conv1d(channels[-1], self.channels, 1))
        self.decoder = nn.Sequential(nn.Conv1d(self.channels, channels[-1], 1), *_up(strides, channels))

    def encode(self, standard: Tensor) -> Tensor:
        """Return latents, channel by channel."""
        padded = F.pad(standard, (0, -standard.shape[1] % self.stride))
        return self.encoder(padded.unsqueeze(1)).flatten(1)

    def decode(self, latents: Tensor) -> Tensor:
        """Return LoRAs without what padded them."""
        return self.decoder(latents.unflatten(1, (self.channels, -1))).squeeze(1)[:, : self.numbers]


class _Residual(nn.Module):
    """A convolution whose output is added to its input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(channels, channels, _KERNEL, padding=_KERNEL // 2)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.convolution(F.silu(x))


def _down(strides: Sequence[int], channels: Sequence[int]) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for stride, before, after in zip(strides, (1, *channels), channels, strict=False):
        layers += [nn.Conv1d(before, after, stride, stride), _Residual(after)]
    return layers


def _up(strides: Sequence[int], channels: Sequence[int]) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for stride, before, after in zip(reversed(strides), reversed(channels), (*channels[-2::-1], 1), strict=True):
        layers += [_Residual(before), nn.ConvTranspose1d(before, after, stride, stride)]
    return layers
