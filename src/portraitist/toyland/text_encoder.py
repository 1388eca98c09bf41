"""Fourth stage: the text encoder, trained contrastively against a small picture network, then frozen.

Trained jointly with the denoiser from scratch a text encoder learns nothing the denoiser can follow for a long time;
trained first so that captions find their pictures it carries subject, colour and scene from the denoiser's first step.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from portraitist.evaluation.encoders import PictureNetwork
from portraitist.toyland.config import TextEncoderConfig
from portraitist.toyland.pictures import Pictures, as_floats
from portraitist.training.loop.contracts import ParameterGroup
from portraitist.training.loop.processes import Processes
from portraitist.training.networks.draws import Draws
from portraitist.training.networks.machine import Machine
from portraitist.training.networks.parameters import parameter_groups

EDGES = ("token_embedding", "position_embedding")
_INITIAL_TEMPERATURE = 0.07
_MAX_LOGIT_SCALE = 100.0


class TextShape(Protocol):
    """Sizes of a text encoder."""

    @property
    def width(self) -> int:
        """Return the width of the hidden states."""

    @property
    def layers(self) -> int:
        """Return the number of layers."""

    @property
    def heads(self) -> int:
        """Return the number of attention heads."""

    @property
    def tokens(self) -> int:
        """Return the number of tokens of a prompt."""

    @property
    def embedding(self) -> int:
        """Return the width of the space that captions and pictures share."""


def build_text_encoder(config: TextShape, tokenizer: CLIPTokenizer) -> CLIPTextModelWithProjection:
    """Build an untrained CLIP text encoder with a projection into the common space."""
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


class Matching(nn.Module):
    """A text encoder and a picture network, with the temperature of their common space."""

    def __init__(self, text: CLIPTextModelWithProjection, pictures: PictureNetwork) -> None:
        super().__init__()
        self.text, self.pictures = text, pictures
        self.logit_scale = nn.Parameter(torch.tensor(1 / _INITIAL_TEMPERATURE).log())

    def prepare(self, machine: Machine) -> "Matching":
        """Move to a machine, ready to be trained there; return itself."""
        if not machine.fuses_attention:
            self.text.set_attn_implementation("eager")
        return self.to(machine.device).train()

    @torch.no_grad()
    def limit_temperature(self) -> None:
        """Keep the temperature in CLIP's range."""
        self.logit_scale.clamp_(max=float(np.log(_MAX_LOGIT_SCALE)))

    def losses(self, pixels: Tensor, ids: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        """Return the error of matching a batch both ways, and how many pictures find their captions."""
        text = F.normalize(embed_captions(self.text, ids, lengths).float(), dim=-1)
        picture = F.normalize(self.pictures(pixels).float(), dim=-1)
        logits = self.logit_scale.exp() * picture @ text.T
        target = torch.arange(len(ids), device=logits.device)
        loss = (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
        return {"loss": loss, "accuracy": (logits.argmax(1) == target).float().mean()}


class ContrastiveTask:
    """Match captions and pictures of a batch (the symmetric cross-entropy of CLIP, arXiv 2103.00020)."""

    def __init__(
        self, networks: Matching, pictures: Pictures, token_ids: Tensor, config: TextEncoderConfig, machine: Machine
    ) -> None:
        """Set up the task.

        Args:
            networks: What is trained.
            pictures: Pictures to match.
            token_ids: Captions of each, ``[n, captions, tokens]``.
            config: Settings of the stage.
            machine: What it is trained on.
        """
        self.networks = networks.prepare(machine)
        self.pictures, self.token_ids, self.config, self.device = pictures, token_ids, config, machine.device
        self.processes = Processes.current()
        self.lengths = token_lengths(token_ids, networks.text.config.eos_token_id)

    def groups(self) -> Sequence[ParameterGroup]:
        """Return matrices with weight decay and everything else without."""
        return parameter_groups(self.networks, self.config.learning_rate, self.config.weight_decay, EDGES)

    def identity(self) -> dict[str, Any]:
        """Return the stage's settings and the number of pictures."""
        settings = self.config.model_dump(mode="json", exclude={"steps"})
        return {"stage": "text encoder", "pictures": len(self.pictures), **settings}

    def after_step(self) -> None:
        """Keep the temperature in CLIP's range."""
        self.networks.limit_temperature()

    def step(self, step: int, micro_step: int) -> Mapping[str, Tensor]:
        """Match one batch."""
        draws = Draws(self.config.seed, step, self.processes)
        chosen = draws.items(len(self.pictures), self.config.batch_size)
        which = draws.numpy("captions").integers(0, self.token_ids.shape[1], len(chosen))
        pixels = shrunk(self.pictures, chosen, self.config.shrink)
        rows, columns = torch.from_numpy(chosen), torch.from_numpy(which)
        ids, lengths = self.token_ids[rows, columns].long(), self.lengths[rows, columns]
        return self.networks.losses(pixels, ids, lengths)


def shrunk(pictures: Pictures, chosen: np.ndarray, factor: int) -> Tensor:
    """Return some of the pictures, so many times smaller, as floats ``[n, 3, h, w]`` in [-1, 1]."""
    return F.avg_pool2d(as_floats(pictures.whole(chosen)), factor)


def token_lengths(ids: Tensor, end: int) -> Tensor:
    """Return the number of tokens up to the first end marker; ids are ``[..., tokens]``, lengths ``[...]``."""
    return (ids != end).sum(-1) + 1


def embed_captions(text: CLIPTextModelWithProjection, ids: Tensor, lengths: Tensor, groups: int = 4) -> Tensor:
    """Embed captions ``[n, tokens]`` to ``[n, embedding]``, in groups of similar length.

    Attention is causal and the embedding is read at the end marker, so padding behind it can be cut off: the result is
    the same for half the work. Ids and lengths are on the CPU, so that nobody waits for a device to know them.
    """
    order = lengths.argsort()
    device = text.device
    parts = [
        text(ids[rows, : int(lengths[rows].max())].to(device, non_blocking=True)).text_embeds
        for rows in order.chunk(groups)
    ]
    return torch.cat(parts)[order.argsort().to(device)]


@torch.no_grad()
def retrieval_accuracy(
    networks: Matching, pixels: Callable[[slice], Tensor], token_ids: Tensor, among: int = 100
) -> float:
    """Return how often a picture finds its own caption among as many, or all if there are fewer (top 1).

    Args:
        networks: Who matches them.
        pixels: Returns so many of the pictures, as the network sees them.
        token_ids: Their captions' tokens, ``[n, tokens]``.
        among: Captions in a group.
    """
    ids, hits = token_ids.long(), 0
    among = min(among, len(ids))
    groups = len(ids) // among
    lengths = token_lengths(ids, networks.text.config.eos_token_id)
    for group in range(groups):
        rows = slice(group * among, (group + 1) * among)
        written = F.normalize(embed_captions(networks.text, ids[rows], lengths[rows]), dim=-1)
        seen = F.normalize(networks.pictures(pixels(rows)), dim=-1)
        hits += int(((seen @ written.T).argmax(1).cpu() == torch.arange(among)).sum())
    return hits / (groups * among)


def without_projection(text: CLIPTextModelWithProjection) -> CLIPTextModel:
    """Return the plain encoder a pipeline uses, with the same weights."""
    plain = CLIPTextModel(text.config)
    plain.load_state_dict(text.text_model.state_dict())
    return plain
