"""Scenes: places that differ from one another more than any of them from itself."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from portraitist.randomness import numpy_generator
from portraitist.toyland.world.pictures import PictureSpec, sample_picture
from portraitist.toyland.world.scenes import PLACES, PLAIN, PLAIN_COLOURS, SCENES
from portraitist.toyland.world.vector import draw_picture

Paint = Callable[[Sequence[PictureSpec]], np.ndarray]


def empty(scene: str, count: int) -> list[PictureSpec]:
    """Specify pictures of a place with nobody in them."""
    rng = np.random.default_rng(1)
    specs = [sample_picture(rng, count=1, scene=scene, style="photo") for _ in range(count)]
    return [replace(spec, subjects=(replace(spec.subjects[0], x=9.0),)) for spec in specs]


def test_there_are_nine_to_twelve_scenes() -> None:
    assert 9 <= len(SCENES) <= 12
    assert SCENES[-1] == PLAIN
    assert len(set(PLAIN_COLOURS)) >= 8


@pytest.mark.parametrize("scene", PLACES)
def test_a_place_is_drawn_from_its_stream_alone_and_fills_the_picture(scene: str) -> None:
    first, again, other = (PLACES[scene].draw(numpy_generator(seed, "variant")) for seed in (1, 1, 2))
    assert first == again != other
    assert (np.asarray(draw_picture(first, 64))[..., 3] == 255).all()


def test_scenes_differ_more_from_one_another_than_from_themselves(paint: Paint) -> None:
    # Told apart by the nearest mean of the others' coarse colours, which is all that variants have in common.
    coarse = {}
    for scene in PLACES:
        pictures = paint(empty(scene, 24))
        coarse[scene] = pictures.reshape(24, 8, 16, 8, 16, 3).mean((2, 4)).reshape(24, -1)
    means = np.stack([rows.mean(0) for rows in coarse.values()])
    within = np.mean([np.linalg.norm(rows - rows.mean(0), axis=1).mean() for rows in coarse.values()])
    between = np.linalg.norm(means[:, None] - means[None], axis=-1)
    assert between[~np.eye(len(means), dtype=bool)].mean() > 1.5 * within
    right = [
        np.linalg.norm(row - means, axis=1).argmin() == number
        for number, rows in enumerate(coarse.values())
        for row in rows
    ]
    assert np.mean(right) > 0.97


@pytest.mark.parametrize("scene", PLACES)
def test_variants_of_a_place_differ(scene: str, paint: Paint) -> None:
    pictures = paint(empty(scene, 6))
    for index, picture in enumerate(pictures):
        for other in pictures[index + 1 :]:
            assert np.abs(picture - other).mean() > 2
