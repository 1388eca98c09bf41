"""Adapters judged by pictures: how like the photos of their subjects those are that are drawn with them."""

from collections.abc import Sequence

from torch import Tensor

from portraitist.adapters import Adapter, Attachment, attached
from portraitist.bases import Base
from portraitist.evaluation.encoders import Encoder, embed_images
from portraitist.evaluation.metrics.similarity import pairwise_cosine
from portraitist.generation import SamplingConfig, generate


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
    attachment: Attachment,
    prompts: Sequence[str],
    encoder: Encoder,
    photos: Sequence[Tensor],
    seeds: Sequence[int] = (0,),
) -> list[float]:
    """Return what `bank_likeness` does, of a bank that is attached already."""
    count, totals = len(prompts), [0.0] * len(prompts)
    config = SamplingConfig(batch_size=count)
    attachment.serve(range(count))
    for seed in seeds:
        made = generate(base, prompts, seeds=[seed] * count, config=config, show_progress=False)
        found = embed_images(encoder, [picture.image for picture in made])
        for number, (picture, own) in enumerate(zip(found, photos, strict=True)):
            totals[number] += float(pairwise_cosine(picture[None], own).mean())
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
