"""Autoencoders of weights: standardised LoRAs ``[n, P]`` to a few hundred latent numbers, and back."""

from portraitist.hypernetworks.difflora.codecs.codec import WeightCodec
from portraitist.hypernetworks.difflora.codecs.convolutional import ConvolutionalCodec
from portraitist.hypernetworks.difflora.codecs.principal import PrincipalCodec
from portraitist.hypernetworks.difflora.codecs.tokens import TokenCodec
from portraitist.hypernetworks.difflora.settings import (
    CodecSettings,
    ConvolutionSettings,
    TokenSettings,
)
from portraitist.hypernetworks.weights.layout import WeightLayout


def build_codec(settings: CodecSettings, layout: WeightLayout, size: int | None = None) -> WeightCodec:
    """Build an untrained codec.

    Args:
        settings: Which, and how.
        layout: Of the vectors.
        size: Latent numbers of principal components, where there are fewer than the settings would have.
    """
    if isinstance(settings, ConvolutionSettings):
        return ConvolutionalCodec(settings, layout.count)
    if isinstance(settings, TokenSettings):
        return TokenCodec(settings, layout)
    return PrincipalCodec(settings, layout.count, size)


__all__ = ["ConvolutionalCodec", "PrincipalCodec", "TokenCodec", "WeightCodec", "build_codec"]
