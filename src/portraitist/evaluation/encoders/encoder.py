"""The contract of an encoder: pictures, perhaps texts, to embeddings; with a name, a revision and a preprocessing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from PIL import Image
from pydantic import BaseModel, ConfigDict
from torch import Tensor
from torch.nn import functional as F

from portraitist.evaluation.encoders.preprocessing import Preprocessing

BATCH_SIZE = 32


class EncoderFacts(BaseModel):
    """What is written beside every number an encoder had a part in.

    Attributes:
        name: What the user asked for: a built-in name, a hub id or a path.
        revision: SHA-256 of the weights, its first 16 digits.
        preprocessing: How pictures are prepared, in words.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    revision: str
    preprocessing: str

    def same_measure(self, other: "EncoderFacts") -> bool:
        """Say whether numbers of both may be compared: same weights, same preprocessing, wherever they lie."""
        return (self.revision, self.preprocessing) == (other.revision, other.preprocessing)

    def __str__(self) -> str:
        return f"{self.name} (weights {self.revision}; {self.preprocessing})"


class Encoder(Protocol):
    """Pictures to embeddings."""

    @property
    def name(self) -> str:
        """What the user asked for."""

    @property
    def revision(self) -> str:
        """Hash of the weights."""

    @property
    def preprocessing(self) -> Preprocessing:
        """How pictures are prepared."""

    @property
    def device(self) -> torch.device:
        """Where the input must be."""

    def embed_pictures(self, pixels: Tensor) -> Tensor:
        """Return embeddings ``[n, d]`` of prepared pictures ``[n, 3, h, w]``."""


@runtime_checkable
class EmbedsTexts(Protocol):
    """An encoder whose pictures and texts meet in one space."""

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Return embeddings ``[n, d]`` of texts."""


@runtime_checkable
class MeasuresDistance(Protocol):
    """An encoder that also has a perceptual distance (`portraitist.evaluation.metrics.perceptual`)."""

    def feature_maps(self, pixels: Tensor) -> list[Tensor]:
        """Return feature maps ``[n, c_l, h_l, w_l]`` of some layers."""

    def channel_weights(self) -> list[Tensor]:
        """Return how much each channel of each map counts, ``[c_l]``."""


@runtime_checkable
class SeesPlaces(Protocol):
    """An encoder that also tells what is where in a picture."""

    def embed_places(self, pixels: Tensor) -> Tensor:
        """Return tokens ``[n, places, d]`` of prepared pictures ``[n, 3, h, w]``, in an order of their own."""


@dataclass(frozen=True)
class Weights:
    """Name, revision, preprocessing and place: what all encoders have in common."""

    name: str
    revision: str
    preprocessing: Preprocessing
    device: torch.device


def facts(encoder: Encoder) -> EncoderFacts:
    """Return what is written beside an encoder's numbers."""
    return EncoderFacts(name=encoder.name, revision=encoder.revision, preprocessing=encoder.preprocessing.description)


@torch.no_grad()
def embed_images(encoder: Encoder, images: Sequence[Image.Image], batch_size: int = BATCH_SIZE) -> Tensor:
    """Prepare and embed pictures; return ``[n, d]`` on the CPU in float32, of length one each."""
    return F.normalize(raw_embeddings(encoder, images, batch_size), dim=-1)


@torch.no_grad()
def raw_embeddings(encoder: Encoder, images: Sequence[Image.Image], batch_size: int = BATCH_SIZE) -> Tensor:
    """Prepare and embed pictures; return ``[n, d]`` on the CPU in float32, as the encoder gives them."""
    parts = []
    for start in range(0, len(images), batch_size):
        pixels = encoder.preprocessing(images[start : start + batch_size])
        parts.append(encoder.embed_pictures(pixels.to(encoder.device)).float().cpu())
    return torch.cat(parts)


@torch.no_grad()
def embed_captions(encoder: EmbedsTexts, texts: Sequence[str], batch_size: int = BATCH_SIZE) -> Tensor:
    """Embed texts; return ``[n, d]`` on the CPU in float32, of length one each."""
    batches = (texts[start : start + batch_size] for start in range(0, len(texts), batch_size))
    return F.normalize(torch.cat([encoder.embed_texts(batch).float().cpu() for batch in batches]), dim=-1)
