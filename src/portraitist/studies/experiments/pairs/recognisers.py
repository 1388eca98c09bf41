"""What tells identities apart in pictures of pairs: an encoder, or colours alone, which need no weights."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from portraitist.evaluation import load_encoder
from portraitist.evaluation.encoders.encoder import Encoder, embed_images, facts

COLOURS = "colours"
_BINS = 8


class Recogniser(Protocol):
    """Turns pictures into embeddings that are alike for one identity."""

    @property
    def name(self) -> str:
        """Return what `make_recogniser` knows it by."""

    def identity(self) -> Mapping[str, Any]:
        """Return JSON-able facts: name, revision, preprocessing."""

    def embed(self, pictures: Sequence[Image.Image]) -> Tensor:
        """Return embeddings ``[n, d]`` of length one."""


class ColourRecogniser:
    """Square roots of colour histograms: needs no weights, tells apart what differs in colour."""

    name = COLOURS

    def identity(self) -> Mapping[str, Any]:
        """Return the name and the bins."""
        return {"recogniser": COLOURS, "bins": _BINS}

    def embed(self, pictures: Sequence[Image.Image]) -> Tensor:
        """Return ``[n, 512]``."""
        rows = []
        for picture in pictures:
            pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3)
            counts, _ = np.histogramdd(pixels, bins=(_BINS,) * 3, range=((0, 256),) * 3)
            rows.append(np.sqrt(counts.ravel() / len(pixels)))
        return torch.from_numpy(np.stack(rows)).float()


@dataclass(frozen=True)
class EncoderRecogniser:
    """An identity encoder of the evaluation."""

    name: str
    encoder: Encoder

    def identity(self) -> Mapping[str, Any]:
        """Return the encoder's facts."""
        return {"recogniser": facts(self.encoder).model_dump(mode="json")}

    def embed(self, pictures: Sequence[Image.Image]) -> Tensor:
        """Return the encoder's embeddings."""
        return embed_images(self.encoder, pictures)


def make_recogniser(name: str) -> Recogniser:
    """Return ``colours``, or an encoder by its name or path.

    Raises:
        BadConfig: If the encoder is not here.
    """
    return ColourRecogniser() if name == COLOURS else EncoderRecogniser(name, load_encoder(name))
