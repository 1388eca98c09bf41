"""Encoders of pictures and texts behind one contract: name, revision, preprocessing, embeddings."""

from portraitist.evaluation.encoders.encoder import (
    EmbedsTexts,
    Encoder,
    EncoderFacts,
    MeasuresDistance,
    SeesPlaces,
    embed_captions,
    embed_images,
    facts,
    raw_embeddings,
)
from portraitist.evaluation.encoders.loading import load_encoder
from portraitist.evaluation.encoders.preprocessing import Preprocessing
from portraitist.evaluation.encoders.small import PictureNetwork, ResidualStage, save_small

__all__ = [
    "EmbedsTexts",
    "Encoder",
    "EncoderFacts",
    "MeasuresDistance",
    "PictureNetwork",
    "Preprocessing",
    "ResidualStage",
    "SeesPlaces",
    "embed_captions",
    "embed_images",
    "facts",
    "load_encoder",
    "raw_embeddings",
    "save_small",
]
