"""Second stage: the text encoder, trained contrastively against a small picture network, then frozen.

Trained jointly with the denoiser from scratch a text encoder learns nothing the denoiser can follow for a long time;
trained first so that captions find their pictures it carries subject, colour and scene from the denoiser's first step.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from portraitist.evaluation.encoders import PictureNetwork
from portraitist.randomness import epoch_order, numpy_generator
from portraitist.toyland.first.autoencoder import to_tensor
from portraitist.toyland.first.config import ContrastiveConfig
from portraitist.training.loop.loop import ParameterGroup

_INITIAL_TEMPERATURE = 0.07
_MAX_LOGIT_SCALE = 100.0


def build_text_encoder(config: ContrastiveConfig, tokenizer: CLIPTokenizer) -> CLIPTextModelWithProjection:
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


class ContrastiveTask:
    """Match captions and pictures of a batch (the symmetric cross-entropy of CLIP, arXiv 2103.00020)."""

    def __init__(
        self,
        text: CLIPTextModelWithProjection,
        pictures: PictureNetwork,
        images: np.ndarray,
        token_ids: Tensor,
        config: ContrastiveConfig,
        shrink: int = 2,
    ) -> None:
        """Set up the task.

        Args:
            text: The text encoder to train.
            pictures: The picture network to train with it.
            images: uint8 pictures ``[n, h, w, 3]``.
            token_ids: Captions of each picture, ``[n, captions, tokens]``.
            config: Settings of the stage.
            shrink: Pictures are seen so many times smaller.
        """
        self.text, self.pictures = text.train(), pictures.train()
        self.images, self.token_ids, self.config, self.shrink = images, token_ids, config, shrink
        self.device = next(text.parameters()).device
        self.logit_scale = nn.Parameter(torch.tensor(1 / _INITIAL_TEMPERATURE, device=self.device).log())

    def groups(self) -> Sequence[ParameterGroup]:
        """Return matrices with weight decay and everything else without."""
        named = {
            **{f"text.{name}": parameter for name, parameter in self.text.named_parameters()},
            **{f"pictures.{name}": parameter for name, parameter in self.pictures.named_parameters()},
            "logit_scale": self.logit_scale,
        }
        matrices = {name: p for name, p in named.items() if p.ndim > 1 and "embedding" not in name}
        others = {name: p for name, p in named.items() if name not in matrices}
        rate = self.config.learning_rate
        return [ParameterGroup(matrices, rate, self.config.weight_decay), ParameterGroup(others, rate)]

    def identity(self) -> dict[str, Any]:
        """Return the stage's settings and the number of pictures."""
        return {"stage": "text encoder", "pictures": len(self.images), **self.config.model_dump(mode="json")}

    def after_step(self) -> None:
        """Keep the temperature in CLIP's range."""
        with torch.no_grad():
            self.logit_scale.clamp_(max=float(np.log(_MAX_LOGIT_SCALE)))

    def step(self, step: int, micro_step: int) -> Mapping[str, Tensor]:
        """Match one batch."""
        size, seed = self.config.batch_size, self.config.seed
        chosen = np.sort(epoch_order(len(self.images), seed, "pictures", step * size, size))
        which = numpy_generator(seed, "captions", step).integers(0, self.token_ids.shape[1], size)
        pixels = F.avg_pool2d(to_tensor(self.images[chosen]), self.shrink).to(self.device)
        ids = self.token_ids[torch.from_numpy(chosen), torch.from_numpy(which)].long().to(self.device)
        text = F.normalize(embed_captions(self.text, ids).float(), dim=-1)
        picture = F.normalize(self.pictures(pixels).float(), dim=-1)
        logits = self.logit_scale.exp() * picture @ text.T
        target = torch.arange(size, device=self.device)
        loss = (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
        accuracy = (logits.argmax(1) == target).float().mean()
        return {"loss": loss, "accuracy": accuracy}


def embed_captions(text: CLIPTextModelWithProjection, ids: Tensor, groups: int = 4) -> Tensor:
    """Embed captions ``[n, tokens]`` to ``[n, embedding]``, in groups of similar length.

    Attention is causal and the embedding is read at the end marker, so padding behind it can be cut off: the result is
    the same for half the work.
    """
    lengths = (ids != text.config.eos_token_id).sum(1) + 1
    order = lengths.argsort()
    parts = [text(ids[rows, : int(lengths[rows].max())]).text_embeds for rows in order.chunk(groups)]
    return torch.cat(parts)[order.argsort()]


@torch.no_grad()
def retrieval_accuracy(
    text: CLIPTextModelWithProjection,
    pictures: PictureNetwork,
    images: np.ndarray,
    token_ids: Tensor,
    among: int = 100,
    shrink: int = 2,
) -> float:
    """Return how often a picture finds its own caption among `among` captions, or all if there are fewer (top 1)."""
    device = next(text.parameters()).device
    hits = 0
    among = min(among, len(images))
    groups = len(images) // among
    for group in range(groups):
        rows = slice(group * among, (group + 1) * among)
        pixels = F.avg_pool2d(to_tensor(images[rows]), shrink).to(device)
        written = F.normalize(embed_captions(text, token_ids[rows, 0].long().to(device)), dim=-1)
        seen = F.normalize(pictures(pixels), dim=-1)
        hits += int(((seen @ written.T).argmax(1).cpu() == torch.arange(among)).sum())
    return hits / (groups * among)


def without_projection(text: CLIPTextModelWithProjection) -> CLIPTextModel:
    """Return the plain encoder a pipeline uses, with the same weights."""
    plain = CLIPTextModel(text.config)
    plain.load_state_dict(text.text_model.state_dict())
    return plain
