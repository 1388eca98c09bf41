"""Collages: who is in them, what they look like, what their prompts say."""

from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image

from portraitist.errors import BadConfig
from portraitist.randomness import numpy_generator
from portraitist.training.multi_subject.cut_mix import (
    WORDINGS,
    Sample,
    collage,
    draw_sample,
    pair_prompt,
    prior_pair,
    resize_masks,
    side_masks,
)
from portraitist.training.recipes import CollageFit

RED, BLUE, GREEN = (255, 0, 0), (0, 0, 255), (0, 255, 0)


def draws(count: int, photos: tuple[int, ...] = (4, 3, 5), probability: float = 0.6) -> list[Sample]:
    rng = numpy_generator(0, "test of collages")
    return [draw_sample(rng, photos, 7, probability) for _ in range(count)]


def test_six_in_ten_samples_are_mixed_and_all_pairs_come_in_both_orders() -> None:
    drawn = draws(6000)
    mixed = [one for one in drawn if one.is_mixed]
    assert len(mixed) / len(drawn) == pytest.approx(0.6, abs=0.025)  # four standard errors
    orders = Counter(one.subjects for one in mixed)
    assert set(orders) == {(a, b) for a in range(3) for b in range(3) if a != b}
    assert max(orders.values()) < 1.3 * min(orders.values())
    alone = Counter(one.subjects for one in drawn if not one.is_mixed)
    assert set(alone) == {(0,), (1,), (2,)}
    assert Counter(one.wording for one in mixed).keys() == set(WORDINGS)


def test_every_photo_and_class_image_is_used() -> None:
    drawn = draws(3000)
    for subject, count in enumerate((4, 3, 5)):
        used = {n for one in drawn for s, n in zip(one.subjects, one.photos, strict=True) if s == subject}
        assert used == set(range(count))
    assert {one.prior for one in drawn} == set(range(7))


@pytest.mark.parametrize(("probability", "mixed"), [(0.0, False), (1.0, True)])
def test_a_probability_of_none_or_all(probability: float, mixed: bool) -> None:
    assert {one.is_mixed for one in draws(50, probability=probability)} == {mixed}


def test_a_prior_collage_never_shows_one_image_twice() -> None:
    for count in (2, 3, 8):
        pairs = [prior_pair(index, count) for index in range(count)]
        assert all(left != right for left, right in pairs)
        assert sorted(right for _, right in pairs) == list(range(count))


def test_a_collage_holds_the_middle_of_each_picture_in_its_half() -> None:
    left = Image.new("RGB", (32, 32), GREEN)
    left.paste(RED, (8, 0, 24, 32))
    made = np.asarray(collage(left, Image.new("RGB", (32, 32), BLUE)))
    assert made.shape == (32, 32, 3)
    assert (made[:, :15] == RED).all(), "the middle of the left picture"
    assert (made[:, 17:] == BLUE).all()


def test_shrinking_keeps_the_whole_picture_and_stands_it_on_the_ground() -> None:
    left = Image.new("RGB", (32, 32), RED)
    left.paste(GREEN, (0, 16, 32, 32))
    made = np.asarray(collage(left, Image.new("RGB", (32, 32), BLUE), "shrink"))
    assert (made[:20, :15] == RED).all(), "the upper edge drawn out"
    assert (made[28:, :15] == GREEN).all()
    assert (made[:, 16:] == BLUE).all()


@pytest.mark.parametrize("fit", ["crop", "shrink"])
def test_the_masks_are_those_of_the_collage(fit: CollageFit) -> None:
    made = collage(Image.new("RGB", (16, 16), RED), Image.new("RGB", (16, 16), BLUE), fit)
    left, right = side_masks(16, 16).bool().numpy()
    pixels = np.asarray(made)
    assert (pixels[left] == RED).all()
    assert (pixels[right] == BLUE).all()


def test_masks_at_another_size_hold_the_share_of_each_cell() -> None:
    masks = resize_masks(side_masks(8, 6), (4, 2))
    assert torch.equal(masks[0], torch.tensor([[1.0, 0.0]] * 4))
    assert torch.allclose(resize_masks(side_masks(6, 6), (3, 3))[0], torch.tensor([[1.0, 0.5, 0.0]] * 3))
    assert torch.allclose(masks.sum(0), torch.ones(4, 2))


def test_pictures_that_cannot_be_put_side_by_side_are_refused() -> None:
    with pytest.raises(BadConfig, match="the same size, not 16 x 16 and 32 x 32"):
        collage(Image.new("RGB", (16, 16)), Image.new("RGB", (32, 32)))
    with pytest.raises(BadConfig, match="15 x 15 cannot be halved"):
        collage(Image.new("RGB", (15, 15)), Image.new("RGB", (15, 15)))


@pytest.mark.parametrize(
    ("template", "sides", "listed"),
    [
        (
            "a photo of a {}",
            "a photo of a sks cat on the left and a olo dog on the right",
            "a photo of a sks cat and a olo dog",
        ),
        ("photo of {}", "photo of sks cat on the left and olo dog on the right", "photo of sks cat and olo dog"),
        (
            "The {} at home",
            "The sks cat on the left and the olo dog on the right at home",
            "The sks cat and the olo dog at home",
        ),
    ],
)
def test_prompts_agree_with_the_layout_in_both_wordings(template: str, sides: str, listed: str) -> None:
    assert pair_prompt(template, "sks cat", "olo dog", "sides") == sides
    assert pair_prompt(template, "sks cat", "olo dog", "list") == listed
