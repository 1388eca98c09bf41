"""A denoiser's cross-attention: its modules, and the size of their maps."""

from typing import TYPE_CHECKING

from portraitist.bases.base import Base
from portraitist.errors import BadConfig

if TYPE_CHECKING:
    from diffusers.models.attention_processor import Attention


def cross_attentions(base: Base) -> dict[str, "Attention"]:
    """Return the denoiser's cross-attention modules by name; none where words and pixels share their attention."""
    from diffusers.models.attention_processor import Attention

    return {
        name: module
        for name, module in base.family.denoiser.named_modules()
        if isinstance(module, Attention) and module.is_cross_attention
    }


def map_size(pixels: int, latents: tuple[int, int]) -> tuple[int, int]:
    """Return height and width of a sequence of pixels, from how often latents of a size were halved.

    Raises:
        BadConfig: If no halving has that many pixels.
    """
    height, width = latents
    while height * width > pixels:
        height, width = -(-height // 2), -(-width // 2)
    if height * width != pixels:
        raise BadConfig(f"a sequence of {pixels} pixels is no halving of latents of {latents[0]} x {latents[1]}")
    return height, width
