"""One subject, several or none: told by an encoder that reads text."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from portraitist.evaluation.encoders import PictureNetwork
from portraitist.evaluation.encoders.encoder import Weights
from portraitist.evaluation.encoders.preprocessing import Preprocessing
from portraitist.evaluation.encoders.small import SmallEncoder
from portraitist.hypernetworks.counting import SubjectCounter


@dataclass(frozen=True)
class Reader(Weights):
    """Reads texts alone: one direction each for one, several and none, as their words say."""

    def embed_pictures(self, pixels: Tensor) -> Tensor:
        raise AssertionError("photos are seen before")

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        several = torch.tensor([" and " in text or " next to " in text for text in texts])
        none = torch.tensor(["photo of" not in text for text in texts])
        return torch.stack([~(several | none), several, none], 1).float()


READER = Reader("reader", "0", Preprocessing(8, 8, "bicubic", (0.5,) * 3, (0.5,) * 3), torch.device("cpu"))


@pytest.mark.parametrize(
    ("embedding", "count"),
    [((1, 0, 0), "one"), ((0, 1, 0), "several"), ((0, 0, 1), "none"), ((1.0, 1.05, 0), "one")],
)
def test_the_nearest_text_decides_if_it_is_clearly_nearer(embedding: tuple[float, ...], count: str) -> None:
    counter = SubjectCounter("reader", READER, ["cat", "robot"])
    found, text = counter.count(torch.tensor(embedding))
    assert found == count
    assert text in counter.texts


def test_encoders_that_read_nothing_cannot_tell() -> None:
    network = PictureNetwork((8, 8), 4)
    blind = SmallEncoder("blind", "0", READER.preprocessing, READER.device, network)
    assert SubjectCounter.among([blind], ["cat"]) is None
    counter = SubjectCounter.among([blind, READER], ["cat"])
    assert counter is not None
    assert counter.name == "reader"
