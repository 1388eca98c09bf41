"""Styles: each changes the form of a picture and looks like nothing but itself."""

import numpy as np
import pytest
import torch
from torch import Tensor

from portraitist.toyland.world.painting import Painter, plan
from portraitist.toyland.world.pictures import sample_picture
from portraitist.toyland.world.styles import STYLES

CHANGED = [style for style in STYLES if style != "photo"]


@pytest.fixture(scope="module")
def photos(painter: Painter) -> Tensor:
    rng = np.random.default_rng(1)
    specs = [sample_picture(rng, style="photo") for _ in range(10)]
    return painter.paint(plan(specs)).float() / 255


def test_a_photo_stays_as_it_is(photos: Tensor) -> None:
    assert STYLES["photo"](photos) is photos


@pytest.mark.parametrize("style", CHANGED)
def test_a_style_is_no_function_of_single_pixels(style: str, photos: Tensor) -> None:
    # The best function of a pixel's colour gives each colour the mean of what the style makes of it. What remains
    # of the style's own variance is form: edges, blocks, brushes, paper.
    styled = STYLES[style](photos)
    bins = (photos * 15.999).long()
    keys = (bins[:, 0] * 256 + bins[:, 1] * 16 + bins[:, 2]).flatten()
    left = 0.0
    for channel in range(3):
        values = styled[:, channel].flatten().double()
        sums = torch.zeros(4096, dtype=torch.double).index_add_(0, keys, values)
        counts = torch.zeros(4096, dtype=torch.double).index_add_(0, keys, torch.ones_like(values))
        left += float((values - (sums / counts.clamp(min=1))[keys]).var() / values.var()) / 3
    assert left > 0.06


@pytest.mark.parametrize("style", STYLES)
def test_a_picture_is_styled_by_itself(style: str, photos: Tensor) -> None:
    together = STYLES[style](photos)
    assert together.shape == photos.shape
    assert float(together.min()) >= 0
    assert float(together.max()) <= 1
    for index in (0, 7):
        torch.testing.assert_close(STYLES[style](photos[index : index + 1])[0], together[index])


def test_styles_are_unlike_each_other(photos: Tensor) -> None:
    styled = {style: draw(photos) for style, draw in STYLES.items()}
    names = list(styled)
    for index, style in enumerate(names):
        for other in names[index + 1 :]:
            assert float((styled[style] - styled[other]).abs().mean()) > 0.035, (style, other)


def test_a_sketch_is_grey_and_a_poster_has_four_inks(photos: Tensor) -> None:
    sketch = STYLES["pencil sketch"](photos)
    paper = sketch / sketch.amax((2, 3), keepdim=True)
    assert float((paper.amax(1) - paper.amin(1)).max()) < 0.02
    assert len(torch.unique(STYLES["poster"](photos).permute(0, 2, 3, 1).reshape(-1, 3), dim=0)) == 4


def test_a_poster_shows_outlines_between_colours_that_are_equally_bright() -> None:
    picture = torch.full((1, 3, 128, 128), 0.5)
    picture[:, 0, :, 64:], picture[:, 1, :, 64:] = 0.9, 0.5 - 0.4 * 0.299 / 0.587
    picture[:, :, :20], picture[:, :, -20:] = 0.0, 1.0
    row = STYLES["poster"](picture)[0, :, 64]
    assert torch.equal(row[:, 40], row[:, 90])
    assert not torch.equal(row[:, 62], row[:, 40])
