"""The encoder of pictures and texts, trained so that captions and pictures find each other (CLIP, arXiv 2103.00020)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPTextConfig, CLIPTextModelWithProjection, CLIPTokenizer

from portraitist.evaluation.encoders import PictureNetwork
from portraitist.randomness import numpy_generator
from portraitist.toyland.first.text_encoder import embed_captions
from portraitist.toyland.judges.config import MatchingConfig
from portraitist.toyland.judges.stream import as_seen, parameter_groups, sample_batch
from portraitist.toyland.world.captions import caption
from portraitist.toyland.world.painting import Painter, plan
from portraitist.training.loop.loop import ParameterGroup

_INITIAL_TEMPERATURE = 0.07
_MAX_LOGIT_SCALE = 100.0


def build_text_tower(config: MatchingConfig, tokenizer: CLIPTokenizer) -> CLIPTextModelWithProjection:
    """Build an untrained text tower with a projection into the common space."""
    return CLIPTextModelWithProjection(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=config.width,
            intermediate_size=4 * config.width,
            projection_dim=config.embedding,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            max_position_embeddings=config.tokens,
            hidden_act="quick_gelu",
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


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
        self.logit_scale = nn.Parameter(torch.tensor(1 / _INITIAL_TEMPERATURE, device=painter.device).log())

    def groups(self) -> Sequence[ParameterGroup]:
        """Return matrices with weight decay; embeddings and everything else without."""
        named = {
            **{f"text.{name}": parameter for name, parameter in self.text.named_parameters()},
            **{f"pictures.{name}": parameter for name, parameter in self.network.named_parameters()},
            "logit_scale": self.logit_scale,
        }
        embeddings = {name: parameter for name, parameter in named.items() if "embedding" in name}
        rest = {name: parameter for name, parameter in named.items() if name not in embeddings}
        rate = self.config.learning_rate
        return [ParameterGroup(embeddings, rate), *parameter_groups(rest, rate, self.config.weight_decay)]

    def identity(self) -> dict[str, Any]:
        """Return the stage's settings."""
        return {"stage": "clip encoder", **self.config.model_dump(mode="json")}

    def after_step(self) -> None:
        """Keep the temperature in CLIP's range."""
        with torch.no_grad():
            self.logit_scale.clamp_(max=float(np.log(_MAX_LOGIT_SCALE)))

    def step(self, step: int, micro_step: int) -> Mapping[str, Tensor]:
        """Match one batch."""
        config = self.config
        specs = sample_batch(config.batch_size, config.seed, step)
        rng = numpy_generator(config.seed, "captions", step)
        ids = tokenize(self.tokenizer, [caption(spec, rng) for spec in specs], config.tokens).to(self.painter.device)
        pixels = as_seen(self.painter.paint(plan(specs)), config.side)
        text = F.normalize(embed_captions(self.text, ids).float(), dim=-1)
        pictures = F.normalize(self.network(pixels).float(), dim=-1)
        logits = self.logit_scale.exp() * pictures @ text.T
        target = torch.arange(len(specs), device=logits.device)
        loss = (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
        return {"loss": loss, "accuracy": (logits.argmax(1) == target).float().mean()}


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
    for group in range(groups):
        rows = slice(group * among, (group + 1) * among)
        written = F.normalize(embed_captions(text, ids[rows].to(device)), dim=-1)
        seen = F.normalize(network(as_seen(pictures[rows].to(device), side)), dim=-1)
        hits += int(((seen @ written.T).argmax(1).cpu() == torch.arange(among)).sum())
    return hits / (groups * among)
