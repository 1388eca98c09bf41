"""What a hypernetwork sees of a photo: frozen encoders' embeddings, what they say of each place, and latents."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from portraitist.bases import Base
from portraitist.errors import BadConfig
from portraitist.evaluation.encoders import Encoder, EncoderFacts, SeesPlaces, facts, load_encoder
from portraitist.hypernetworks.settings import SightSettings

LATENTS = "latents"


class Sight:
    """Turns photos into features ``[n, tokens, width]`` by source, float16 on the CPU.

    Args:
        settings: What is seen.
        base: Whose autoencoder gives the latents.
        encoders: The encoders, in the settings' order.
    """

    def __init__(self, settings: SightSettings, base: Base, encoders: Sequence[Encoder]) -> None:
        self.settings, self.base, self.encoders = settings, base, encoders

    @classmethod
    def load(cls, settings: SightSettings, base: Base, device: str | torch.device) -> "Sight":
        """Load the encoders.

        Raises:
            BadConfig: If one is not on this machine, or nothing at all is seen.
        """
        if not settings.encoders and not settings.latents:
            raise BadConfig("sight.encoders is empty and sight.latents is 0: this network would see nothing")
        return cls(settings, base, [load_encoder(name, device) for name in settings.encoders])

    @property
    def facts(self) -> tuple[EncoderFacts, ...]:
        """Return names and hashes of the encoders."""
        return tuple(facts(encoder) for encoder in self.encoders)

    @torch.no_grad()
    def see(self, images: Sequence[Image.Image], latents: Tensor | None = None) -> dict[str, Tensor]:
        """Return the features of photos at the base's resolution.

        Args:
            images: The photos.
            latents: Their latents ``[n, c, h, w]``, where they are known already.
        """
        seen: dict[str, Tensor] = {}
        for encoder in self.encoders:
            pixels = encoder.preprocessing(images).to(encoder.device)
            seen[encoder.name] = encoder.embed_pictures(pixels).unsqueeze(1)
            if self.settings.places and isinstance(encoder, SeesPlaces):
                seen[f"places of {encoder.name}"] = encoder.embed_places(pixels)
        if self.settings.latents:
            if latents is None:
                pixels = torch.from_numpy(np.stack([np.array(image) for image in images])).permute(0, 3, 1, 2)
                latents, _ = self.base.family.encode_pictures(pixels.float() / 127.5 - 1)
            seen[LATENTS] = patches(latents, self.settings.latents)
        return {name: values.half().cpu() for name, values in seen.items()}


def patches(latents: Tensor, side: int) -> Tensor:
    """Cut latents ``[n, c, h, w]`` into ``side x side`` patches, ``[n, side * side, c * h / side * w / side]``.

    Raises:
        BadConfig: If they cannot be cut so.
    """
    if latents.shape[-1] % side or latents.shape[-2] % side:
        raise BadConfig(f"sight.latents={side} does not divide latents of {latents.shape[-2]} x {latents.shape[-1]}")
    size = latents.shape[-2] // side, latents.shape[-1] // side
    return F.unfold(latents, size, stride=size).transpose(1, 2)


def first_embedding(settings: SightSettings, features: Mapping[str, Tensor]) -> Tensor:
    """Return the first encoder's embeddings ``[.., d]`` (without one, the latents), to tell kinds of photos apart."""
    return features[settings.encoders[0] if settings.encoders else LATENTS].flatten(-2)
