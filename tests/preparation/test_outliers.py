"""Photos that show something else than the others."""

from pathlib import Path

import pytest
import torch
from drawn_photos import draw_photo, save_photos
from PIL import Image, ImageChops, ImageFilter, ImageOps
from torch import Tensor

from portraitist.evaluation.encoders import Encoder, Preprocessing
from portraitist.evaluation.encoders.encoder import Weights
from portraitist.preparation import Criteria, prepare
from portraitist.preparation.outliers import likeness_shares

CRITERIA = Criteria(size=192)
HALF = (0.5, 0.5, 0.5)


class Colours(Weights):
    """Sees the mean colour of a picture only."""

    def embed_pictures(self, pixels: Tensor) -> Tensor:
        return pixels.mean((2, 3))


@pytest.fixture
def colours() -> Encoder:
    return Colours("colours", "1", Preprocessing(8, 8, "bilinear", HALF, HALF), torch.device("cpu"))


def tinted(seed: int, colour: str) -> Image.Image:
    return ImageChops.multiply(draw_photo(seed), Image.new("RGB", (320, 256), colour))


def test_likeness_is_a_share_of_what_is_usual(colours: Encoder) -> None:
    shares = likeness_shares(colours, [tinted(seed, "red") for seed in range(4)] + [tinted(4, "cyan")])
    assert all(share > 0.9 for share in shares[:3])
    assert shares[4] < 0.5


def test_a_photo_of_something_else_is_dropped_among_four_and_more(colours: Encoder, tmp_path: Path) -> None:
    for number in range(4):
        tinted(number, "red").save(tmp_path / f"{number}.png")
    tinted(4, "cyan").save(tmp_path / "other.png")
    prepared = prepare([tmp_path], CRITERIA, encoder=colours)
    dropped = {each.path.name: each.why for each in prepared.decisions if not each.is_kept}
    assert list(dropped) == ["other.png"]
    assert dropped["other.png"].startswith("unlike the others: likeness ")
    assert len(prepare([tmp_path], CRITERIA).kept) == 5
    assert len(prepare([tmp_path], Criteria(size=192, likeness=0), encoder=colours).kept) == 5
    few = [tmp_path / "0.png", tmp_path / "1.png", tmp_path / "other.png"]
    assert len(prepare(few, CRITERIA, encoder=colours).kept) == 3


def test_bars_do_not_make_a_photo_sharp(tmp_path: Path) -> None:
    save_photos(tmp_path, 3)
    soft = draw_photo(5).filter(ImageFilter.GaussianBlur(4))
    ImageOps.expand(soft, (0, 60), "black").save(tmp_path / "soft.png")
    ImageOps.expand(draw_photo(6), (0, 60), "black").save(tmp_path / "sharp.png")
    by_name = {each.path.name: each for each in prepare([tmp_path], CRITERIA).decisions}
    assert by_name["soft.png"].why.startswith("blurred")
    assert by_name["sharp.png"].is_kept
    assert by_name["sharp.png"].borders is not None
    trimmed = {each.path.name: each for each in prepare([tmp_path], Criteria(size=192, trim=True)).decisions}[
        "sharp.png"
    ]
    assert trimmed.borders is None
    assert trimmed.picture is not None
    assert abs(trimmed.picture.width / trimmed.picture.height - 320 / 256) < 0.02
