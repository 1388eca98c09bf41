"""Photos that show something else than the others, told by what a network trained on photographs sees in them."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from portraitist.evaluation.encoders import Encoder, embed_images

# Of fewer photos nobody can say which is the odd one.
FEWEST = 4


def likeness_shares(encoder: Encoder, pictures: Sequence[Image.Image]) -> list[float]:
    """Return how much each picture looks like the others, as a share of what is usual among them.

    That is its mean cosine with the others, divided by the median of these means: sets of portraits on one background
    and sets from many places have the same usual value, 1. Our own measure; docs/preparation.md says how well it tells.

    Args:
        encoder: Sees the pictures, whole.
        pictures: `FEWEST` at least.
    """
    embedded = embed_images(encoder, list(pictures)).numpy()
    cosines = embedded @ embedded.T
    means = (cosines.sum(axis=1) - cosines.diagonal()) / (len(pictures) - 1)
    return [float(value) for value in means / max(float(np.median(means)), 1e-6)]
