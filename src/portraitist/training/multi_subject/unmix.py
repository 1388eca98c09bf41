"""Unmix: a subject's word must not attend to the other subject's half of a collage.

The idea is SVDiff's (arXiv 2303.11305, section 3.3); its equation was never printed. Ours, over layers *l* and the
subjects *k* of a collage with masks ``M_k``:

``L = mean_l mean_k ||A_l[:, tok(k)] (1 - M_k)||^2 / pixels``

with ``A_l`` the softmax of the cross-attention averaged over heads. Layers, the weight and whether class nouns count
as well are options.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import torch
from diffusers.models.attention_processor import Attention
from torch import Tensor, nn

from portraitist.bases import Base
from portraitist.bases.attention import cross_attentions, map_size
from portraitist.bases.families import Framing
from portraitist.errors import BadConfig
from portraitist.training.multi_subject.cut_mix import resize_masks, side_masks

# Nobody published one; docs/several-subjects.md says what was tried.
USUAL_WEIGHT = 1.0
USUAL_LARGEST_MAP = 32

Record = Callable[[str, Attention, Tensor, Tensor], None]


@dataclass(frozen=True)
class MixedSample:
    """A collage in a batch.

    Attributes:
        row: Its place in the batch.
        tokens: Positions of the left and of the right subject's words in the prompt.
    """

    row: int
    tokens: tuple[tuple[int, ...], tuple[int, ...]]


class AttentionTap:
    """An attention processor that lets another one work, and hands out the queries and keys it made."""

    def __init__(self, name: str, inner: Any, record: Record) -> None:
        self.name, self.inner, self.record = name, inner, record

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        """Attend as before; the interface of diffusers."""
        made: dict[str, Tensor] = {}
        hooks = [
            projection.register_forward_hook(lambda module, args, output, key=key: made.__setitem__(key, output))
            for key, projection in (("query", attn.to_q), ("key", attn.to_k))
        ]
        try:
            attended: Tensor = self.inner(attn, hidden_states, encoder_hidden_states, attention_mask, temb)
        finally:
            for hook in hooks:
                hook.remove()
        self.record(self.name, attn, made["query"], made["key"])
        return attended


class UnmixLoss:
    """The loss, on the chosen layers of a base's denoiser.

    Args:
        base: The base.
        latents: A sample's size, ``(channels, height, width)``.
        layers: Patterns on the names of cross-attention modules, as in ``up_blocks.*``.
        largest: Layers whose maps have a longer side than this are left out.

    Raises:
        BadConfig: If the base has no cross-attention maps, or none is chosen.
    """

    def __init__(
        self,
        base: Base,
        latents: tuple[int, int, int],
        layers: Sequence[str] = ("*",),
        largest: int = USUAL_LARGEST_MAP,
    ) -> None:
        self.base, self.size = base, latents[1:]
        found = cross_attentions(base)
        if not found:
            raise BadConfig(
                f"{base.name} is a {base.family.title} model: it has no cross-attention maps, so subjects cannot be"
                " kept apart by them; use --cut-mix, which needs none"
            )
        sizes = self._probe(found, latents)
        self.layers = {
            name: found[name]
            for name, size in sizes.items()
            if max(size) <= largest and any(fnmatchcase(name, pattern) for pattern in layers)
        }
        if not self.layers:
            seen = ", ".join(sorted({f"{height} x {width}" for height, width in sizes.values()}))
            raise BadConfig(
                f"no cross-attention layer of {base.name} matches {', '.join(layers)} with maps of at most {largest} x"
                f" {largest}; its maps are {seen}, and its layers have names like {next(iter(sizes))}"
            )

    @contextmanager
    def watch(self, samples: Sequence[MixedSample]) -> Iterator[Callable[[], Tensor]]:
        """Watch the forward passes in the block; the function that is yielded returns their loss.

        Without samples nothing is watched, nothing is spent, and the loss is zero.
        """
        # Computed outside of the layers: nothing may be added to what a backward pass computes again from checkpoints.
        seen: list[tuple[Attention, Tensor, Tensor]] = []

        def record(name: str, attn: Attention, query: Tensor, key: Tensor) -> None:
            seen.append((attn, query, key))

        def loss() -> Tensor:
            if not seen:
                return torch.zeros((), device=self.base.device)
            return torch.stack([self._layer_loss(*layer, samples) for layer in seen]).mean()

        with tapped(self.layers if samples else {}, record):
            yield loss

    def _layer_loss(self, attn: Attention, query: Tensor, key: Tensor, samples: Sequence[MixedSample]) -> Tensor:
        rows = torch.tensor([sample.row for sample in samples], device=query.device)
        tokens, side, weight = (part.to(query.device) for part in _columns(samples))
        maps = attention_columns(
            split_heads(query[rows], attn, attn.norm_q), split_heads(key[rows], attn, attn.norm_k), tokens
        )
        height, width = map_size(maps.shape[1], self.size)
        outside = 1 - resize_masks(side_masks(*self.size), (height, width)).flatten(1).to(maps)
        return unmix_loss(maps, outside[side].transpose(1, 2), weight)

    @torch.no_grad()
    def _probe(self, layers: dict[str, Attention], latents: tuple[int, int, int]) -> dict[str, tuple[int, int]]:
        """Predict once and return every layer's map size."""
        sizes: dict[str, tuple[int, int]] = {}

        def record(name: str, attn: Attention, query: Tensor, key: Tensor) -> None:
            sizes[name] = map_size(query.shape[1], self.size)

        family = self.base.family
        blank = torch.zeros(1, *latents, device=self.base.device, dtype=family.dtype)
        side = family.resolution
        conditions = {**family.encode_prompts([""]), **family.encode_framings([Framing.whole(side, side)])}
        with tapped(layers, record):
            family.predict(blank, torch.zeros(1, dtype=torch.long, device=self.base.device), conditions)
        return sizes


def attention_columns(query: Tensor, key: Tensor, tokens: Tensor) -> Tensor:
    """Return how much each pixel attends to some tokens, averaged over heads.

    Args:
        query: ``[n, heads, pixels, d]``.
        key: ``[n, heads, words, d]``.
        tokens: Positions ``[n, t]`` of the wanted words.

    Returns:
        ``[n, pixels, t]`` in float32.
    """
    scores = query.float() @ key.float().transpose(-1, -2) * query.shape[-1] ** -0.5
    wanted = tokens[:, None, None].expand(*scores.shape[:3], -1)
    return scores.softmax(-1).gather(-1, wanted).mean(1)


def unmix_loss(maps: Tensor, outside: Tensor, weight: Tensor) -> Tensor:
    """Return the mean squared attention outside of where it belongs.

    Args:
        maps: Attention ``[n, pixels, t]``.
        outside: ``1 - M`` for each word, ``[n, pixels, t]``.
        weight: Weight of each word, ``[n, t]``, summing to one over a sample.
    """
    return ((maps * outside).square().mean(1) * weight).sum(1).mean()


def _columns(samples: Sequence[MixedSample]) -> tuple[Tensor, Tensor, Tensor]:
    """Return positions, sides and weights of all words, ``[n, t]`` each; short rows are filled with weight 0."""
    rows = []
    for sample in samples:
        words = [
            (position, side, 1 / (2 * len(tokens))) for side, tokens in enumerate(sample.tokens) for position in tokens
        ]
        rows.append(words)
    longest = max(map(len, rows))
    filled = [[*words, *[(0, 0, 0.0)] * (longest - len(words))] for words in rows]
    positions, sides, weights = (torch.tensor([[word[part] for word in row] for row in filled]) for part in range(3))
    return positions, sides, weights


def split_heads(projected: Tensor, attn: Attention, norm: nn.Module | None) -> Tensor:
    """Split ``[n, length, width]`` into heads, normalised where the model does so: ``[n, heads, length, d]``."""
    split = projected.unflatten(-1, (attn.heads, -1)).transpose(1, 2)
    return split if norm is None else norm(split)


@contextmanager
def tapped(layers: Mapping[str, Attention], record: Record) -> Iterator[None]:
    """Put taps onto attention modules for a while.

    Args:
        layers: The modules, by name.
        record: Called after each with its name, itself, and its queries and keys ``[n, length, width]``.
    """
    own = {name: attn.processor for name, attn in layers.items()}
    try:
        for name, attn in layers.items():
            attn.set_processor(AttentionTap(name, attn.processor, record))  # type: ignore[arg-type]
        yield
    finally:
        for name, attn in layers.items():
            attn.set_processor(own[name])
