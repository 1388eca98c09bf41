"""Adapters judged by pictures: how like the photos of their subjects those are that are drawn with them."""

from collections.abc import Sequence

from torch import Tensor

from portraitist.adapters import Adapter, Attachment, attached
from portraitist.bases import Base
from portraitist.evaluation.encoders import Encoder, embed_images
from portraitist.evaluation.metrics.similarity import pairwise_cosine
from portraitist.generation import SamplingConfig, generate

_AT_ONCE = 16  # subjects that are drawn together


def bank_likeness(
    base: Base,
    bank: Adapter,
    prompts: Sequence[str],
    encoder: Encoder,
    photos: Sequence[Tensor],
    seeds: Sequence[int] = (0,),
) -> list[float]:
    """Draw pictures with every adapter of a bank; return its mean likeness to its subject's photos.

    Args:
        base: The base; it is left as found.
        bank: The adapters.
        prompts: What the base is asked for each.
        encoder: Judges likeness.
        photos: Its embeddings of each subject's photos, ``[photos, d]``.
        seeds: A picture each.
    """
    with attached(base.components, bank) as attachment:
        return served_likeness(base, attachment, prompts, encoder, photos, seeds)


def served_likeness(
    base: Base,
    attachment: Attachment | None,
    prompts: Sequence[str],
    encoder: Encoder,
    photos: Sequence[Tensor],
    seeds: Sequence[int] = (0,),
    steps: int | None = None,
) -> list[float]:
    """Return what `bank_likeness` does, of banks that are attached already, a few subjects at once.

    Args:
        base: The base.
        attachment: Its banks all have an adapter for each subject; None for the base alone.
        prompts: See there, as all that follows.
        encoder: See there.
        photos: See there.
        seeds: See there.
        steps: Sampling steps; as usual for the base when None.
    """
    totals = [0.0] * len(prompts)
    for start in range(0, len(prompts), _AT_ONCE):
        rows = range(start, min(start + _AT_ONCE, len(prompts)))
        if attachment is not None:
            for name in attachment.names:
                attachment.serve(rows, name)
        config, asked = SamplingConfig(batch_size=len(rows), steps=steps), [prompts[row] for row in rows]
        for seed in seeds:
            made = generate(base, asked, seeds=[seed] * len(rows), config=config, show_progress=False)
            seen = embed_images(encoder, [picture.image for picture in made])
            for row, picture in zip(rows, seen, strict=True):
                totals[row] += float(pairwise_cosine(picture[None], photos[row]).mean())
    return [total / len(seeds) for total in totals]


def likeness_kept(restored: Sequence[float], original: Sequence[float], untrained: Sequence[float]) -> float:
    """Return which share of the likeness that adapters bring is kept by others: 1 all of it, 0 none.

    Args:
        restored: Likeness with the others, subject by subject.
        original: Likeness with the adapters.
        untrained: Likeness of what the base draws alone.
    """
    gained = sum(original) - sum(untrained)
    return (sum(restored) - sum(untrained)) / gained if gained else float("nan")
