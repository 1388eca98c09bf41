"""The encoder of pictures and texts, trained so that captions and pictures find each other (CLIP, arXiv 2103.00020)."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import CLIPTokenizer

from portraitist.randomness import numpy_generator
from portraitist.toyland.judges.config import MatchingConfig
from portraitist.toyland.judges.stream import as_seen, sample_batch
from portraitist.toyland.text_encoder import EDGES, Matching, token_lengths
from portraitist.toyland.world.captions import caption
from portraitist.toyland.world.painting import Painter, plan
from portraitist.training.loop.contracts import ParameterGroup
from portraitist.training.networks.machine import Machine
from portraitist.training.networks.parameters import parameter_groups


class MatchingTask:
    """Match captions and pictures of a batch, both ways."""

    def __init__(
        self,
        networks: Matching,
        tokenizer: CLIPTokenizer,
        painter: Painter,
        config: MatchingConfig,
        machine: Machine,
    ) -> None:
        """Set up the task.

        Args:
            networks: What is trained.
            tokenizer: Of the text tower.
            painter: Who paints the pictures, on the machine's device.
            config: Settings of the stage.
            machine: What it is trained on.
        """
        networks.pictures.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.networks, self.tokenizer = networks.prepare(machine), tokenizer
        self.painter, self.config = painter, config

    def groups(self) -> Sequence[ParameterGroup]:
        """Return matrices with weight decay; embeddings and everything else without."""
        return parameter_groups(self.networks, self.config.learning_rate, self.config.weight_decay, EDGES)

    def identity(self) -> dict[str, Any]:
        """Return the stage's settings, save how long it goes on."""
        return {"stage": "clip encoder", **self.config.model_dump(mode="json", exclude={"steps"})}

    def after_step(self) -> None:
        """Keep the temperature in CLIP's range."""
        self.networks.limit_temperature()

    def step(self, step: int, micro_step: int) -> Mapping[str, Tensor]:
        """Match one batch."""
        config = self.config
        specs = sample_batch(config.batch_size, config.seed, step)
        rng = numpy_generator(config.seed, "captions", step)
        ids = tokenize(self.tokenizer, [caption(spec, rng) for spec in specs], config.tokens)
        pixels = as_seen(self.painter.paint(plan(specs)), config.side)
        return self.networks.losses(pixels, ids, token_lengths(ids, self.networks.text.config.eos_token_id))


def tokenize(tokenizer: CLIPTokenizer, captions: Sequence[str], tokens: int) -> Tensor:
    """Return tokens ``[n, tokens]``, padded and cut."""
    read = tokenizer(list(captions), padding="max_length", truncation=True, max_length=tokens, return_tensors="pt")
    return read.input_ids
