"""Mean cosines: DINO, CLIP-I, CLIP-T, Face Sim, PRES. Cosines are raw, never rescaled to [0, 1]."""

import torch
from torch import Tensor
from torch.nn import functional as F


def pairwise_cosine(generated: Tensor, real: Tensor) -> Tensor:
    """Return each generated picture's mean cosine to all real ones, ``[m]``.

    Their mean is ``(1/mn) sum_i sum_j sim(V(R_i), V(G_j))`` (DreamBooth, arXiv 2208.12242, section 4.1).

    Args:
        generated: Embeddings ``[m, d]``.
        real: Embeddings ``[n, d]``.
    """
    return cosine_to_each(generated, real).mean(1)


def cosine_to_each(one: Tensor, other: Tensor) -> Tensor:
    """Return the cosines of all embeddings ``[m, d]`` to all others ``[n, d]``, ``[m, n]``."""
    return F.normalize(one.double(), dim=-1) @ F.normalize(other.double(), dim=-1).T


def paired_cosine(generated: Tensor, texts: Tensor) -> Tensor:
    """Return each generated picture's cosine to its own prompt, ``[m]``: ``sim(I(G_j), T(P_j))``.

    Args:
        generated: Embeddings ``[m, d]``.
        texts: Embeddings of the pictures' prompts, ``[m, d]``.
    """
    return (F.normalize(generated.double(), dim=-1) * F.normalize(texts.double(), dim=-1)).sum(-1)


def with_misses(values: Tensor, count: int) -> tuple[float, float, float]:
    """Average over pictures with a face: the mean, the mean with misses as zero, and the share of misses.

    Args:
        values: Similarities of those pictures that have a face, ``[k]``.
        count: How many pictures there are.
    """
    total = float(values.sum())
    mean = total / len(values) if len(values) else torch.nan
    return mean, total / count, 1 - len(values) / count
