"""Restored pictures are those that a base's autoencoder gives back."""

import torch

from portraitist.bases import Base
from portraitist.toyland.judges.restoring import restore


def test_pictures_are_restored_in_batches(base: Base) -> None:
    pictures = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8)
    restored = restore(base.pipeline.vae, pictures, batch_size=2)
    assert restored.shape == pictures.shape
    assert restored.dtype == torch.uint8
    assert int((restored.int() - restore(base.pipeline.vae, pictures[2:])[0].int()).abs()[2].max()) <= 1
    assert len(restore(base.pipeline.vae, pictures[:0])) == 0
