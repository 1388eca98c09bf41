"""A family's model without weights: what can be asked of a base before anything is downloaded."""

from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from portraitist.bases.architectures import (
    architecture_family,
    build_architecture,
    list_architectures,
    read_scheduler,
)
from portraitist.bases.families import FAMILIES, Family
from portraitist.bases.hub import complete
from portraitist.bases.pipelines import Schedule
from portraitist.bases.single_file import read_facts, read_shapes, recognise
from portraitist.bases.sources import find_source

_AUTOENCODER = "vae"
_T5_TOKENS = 512  # T5 has no positions of its own; FLUX.1 reads so many


class BlankTokenizer:
    """Reads any prompt as zeros, as many as an encoder takes."""

    def __init__(self, length: int) -> None:
        self.model_max_length = length

    def __call__(self, texts: list[str], max_length: int | None = None, **_: Any) -> SimpleNamespace:
        """Return ``input_ids [n, length]``."""
        shape = (len(texts), max_length or self.model_max_length)
        return SimpleNamespace(input_ids=torch.zeros(shape, dtype=torch.long))


def build_skeleton(
    name: str, dtype: torch.dtype = torch.float32, device: str = "meta", schedule: Schedule | None = None
) -> Family:
    """Build a base from its configurations alone.

    Args:
        name: A name of `list_architectures`, a folder in the diffusers layout, a built-in base, a single file, or a hub
            id, of which no weights are fetched.
        dtype: Precision of the weights.
        device: Where they are; ``meta`` makes none, and inside a fake tensor mode nor does any other.
        schedule: What `build_schedule` returned outside such a mode, where numbers are real.

    Raises:
        BadConfig: If there is no such base.
    """
    place = _find_place(name)
    family = _find_family(place)
    parts: dict[str, nn.Module] = {
        **build_architecture(place, device, dtype),
        **build_architecture(place, device, dtype, (_AUTOENCODER,)),
    }
    pipeline: Any = SimpleNamespace(**parts, scheduler=schedule or build_schedule(name))
    pipeline.vae_scale_factor = 2 ** (len(pipeline.vae.config.block_out_channels) - 1)
    for encoder in family.text_encoders:
        config: Any = parts[encoder].config
        length: Any = getattr(config, "max_position_embeddings", None) or _T5_TOKENS
        setattr(pipeline, encoder.replace("text_encoder", "tokenizer"), BlankTokenizer(int(length)))
    return family(pipeline)


def build_schedule(name: str) -> Schedule:
    """Build the noise schedule of a base; raises as `build_skeleton` does."""
    place = _find_place(name)
    return _find_family(place).build_schedule(read_scheduler(place))


def _find_place(name: str) -> str | Path:
    if name in list_architectures():
        return name
    fetch = partial(complete, weights=False)
    source = find_source(name, fetch)
    if not source.is_single_file:
        return source.path
    if source.detail:
        return source.detail if source.detail in list_architectures() else find_source(source.detail, fetch).path
    return recognise(source.path, read_shapes(source.path), read_facts(source.path))


def _find_family(place: str | Path) -> type[Family]:
    return next(each for each in FAMILIES if each.name == architecture_family(place))
