"""The encoder of pictures and texts, trained so that captions and pictures find each other (CLIP, arXiv 2103.00020)."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import CLIPTextModelWithProjection, CLIPTokenizer

from portraitist.evaluation.encoders import PictureNetwork
from portraitist.randomness import numpy_generator
from portraitist.toyland.judges.config import MatchingConfig
from portraitist.toyland.judges.stream import as_seen, sample_batch
from portraitist.toyland.text_encoder import EDGES, Matching, embed_captions, token_lengths
from portraitist.toyland.world.captions import caption
from portraitist.toyland.world.painting import Painter, plan
from portraitist.training.loop.loop import ParameterGroup
from portraitist.training.networks.parameters import parameter_groups


class MatchingTask:
    """Match captions and pictures of a batch, both ways."""

    def __init__(
        self,
        text: CLIPTextModelWithProjection,
        network: PictureNetwork,
        tokenizer: CLIPTokenizer,
        painter: Painter,
        config: MatchingConfig,
    ) -> None:
        """Set up the task.

        Args:
            text: The text tower to train.
            network: The picture network to train with it.
            tokenizer: Of the text tower.
            painter: Who paints the pictures, on the networks' device.
            config: Settings of the stage.
        """
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.text, self.network, self.tokenizer = text.train(), network.train(), tokenizer
        self.painter, self.config = painter, config
        self.networks = Matching(text, network).to(painter.device)
        self.logit_scale = self.networks.logit_scale

    def groups(self) -> Sequence[ParameterGroup]:
        """Return matrices with weight decay; embeddings and everything else without."""
        return parameter_groups(self.networks, self.config.learning_rate, self.config.weight_decay, EDGES)

    def identity(self) -> dict[str, Any]:
        """Return the stage's settings."""
        return {"stage": "clip encoder", **self.config.model_dump(mode="json")}

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
        return self.networks.losses(pixels, ids, token_lengths(ids, self.text.config.eos_token_id))


def tokenize(tokenizer: CLIPTokenizer, captions: Sequence[str], tokens: int) -> Tensor:
    """Return tokens ``[n, tokens]``, padded and cut."""
    read = tokenizer(list(captions), padding="max_length", truncation=True, max_length=tokens, return_tensors="pt")
    return read.input_ids


@torch.no_grad()
def retrieval_accuracy(
    text: CLIPTextModelWithProjection, network: PictureNetwork, pictures: Tensor, ids: Tensor, among: int, side: int
) -> float:
    """Return how often a picture finds its own caption among as many, or all if there are fewer (top 1).

    Args:
        text: The text tower.
        network: The picture network.
        pictures: uint8 pictures ``[n, 3, h, w]``.
        ids: Their captions' tokens ``[n, tokens]``.
        among: Captions in a group.
        side: Side of the pictures that the network sees.
    """
    device, hits = network.head.weight.device, 0
    among = min(among, len(pictures))
    groups = len(pictures) // among
    lengths = token_lengths(ids, text.config.eos_token_id)
    for group in range(groups):
        rows = slice(group * among, (group + 1) * among)
        written = F.normalize(embed_captions(text, ids[rows], lengths[rows]), dim=-1)
        seen = F.normalize(network(as_seen(pictures[rows].to(device), side)), dim=-1)
        hits += int(((seen @ written.T).argmax(1).cpu() == torch.arange(among)).sum())
    return hits / (groups * among)
