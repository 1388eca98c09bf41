"""Pictures: drawn as asked, the same every time, and every scene and style looks like itself."""

import numpy as np
import pytest

from portraitist.toyland.first.world.identities import sample_identity
from portraitist.toyland.first.world.pictures import PictureSpec, render, sample_picture
from portraitist.toyland.first.world.scenes import PLAIN_COLOURS, SCENES, paint
from portraitist.toyland.first.world.styles import STYLES


def pixels(spec: PictureSpec, size: int = 64) -> np.ndarray:
    return np.asarray(render(spec, size), dtype=np.float32)


def test_a_picture_is_a_function_of_its_spec() -> None:
    specs = [sample_picture(np.random.default_rng(5)) for _ in range(2)]
    assert specs[0] == specs[1]
    np.testing.assert_array_equal(pixels(specs[0]), pixels(specs[1]))


def test_different_seeds_give_different_pictures() -> None:
    rng = np.random.default_rng(6)
    drawn = [pixels(sample_picture(rng)) for _ in range(12)]
    for index, picture in enumerate(drawn):
        for other in drawn[index + 1 :]:
            assert np.abs(picture - other).mean() > 4


@pytest.mark.parametrize("size", [32, 64, 128])
def test_pictures_come_in_any_size(size: int) -> None:
    picture = render(sample_picture(np.random.default_rng(7)), size)
    assert picture.size == (size, size)
    assert picture.mode == "RGB"


def test_whatever_is_given_is_kept() -> None:
    rng = np.random.default_rng(8)
    cat, robot = sample_identity(rng, "test", "cat"), sample_identity(rng, "test", "robot", "red")
    spec = sample_picture(rng, identities=(cat, robot), scene="plain", colour="green", style="poster")
    assert [subject.identity for subject in spec.subjects] == [cat, robot]
    assert (spec.scene, spec.colour, spec.style) == ("plain", "green", "poster")
    assert spec.subjects[0].x < 0.5 < spec.subjects[1].x
    moved = spec.at("snow")
    assert (moved.scene, moved.colour, moved.subjects) == ("snow", "", spec.subjects)


def test_pictures_are_mixed_as_announced() -> None:
    rng = np.random.default_rng(9)
    drawn = [sample_picture(rng, "validation") for _ in range(600)]
    assert {subject.identity.split for spec in drawn for subject in spec.subjects} == {"validation"}
    assert np.mean([len(spec.subjects) == 2 for spec in drawn]) == pytest.approx(0.3, abs=0.06)
    assert np.mean([spec.style == "photo" for spec in drawn]) == pytest.approx(0.72, abs=0.06)
    assert {spec.scene for spec in drawn} == set(SCENES)
    assert {spec.style for spec in drawn} == set(STYLES)


def test_two_subjects_can_be_told_apart_by_words() -> None:
    rng = np.random.default_rng(10)
    for _ in range(100):
        left, right = (subject.identity for subject in sample_picture(rng, count=2).subjects)
        assert (left.kind, left.colour) != (right.kind, right.colour)


def test_subjects_fill_their_place() -> None:
    """Compare a picture with its empty scene: the subject covers its half, and little of the other one."""
    rng = np.random.default_rng(11)
    for kind in ("robot", "cat", "monster", "person"):
        spec = sample_picture(rng, identities=(sample_identity(rng, "train", kind),), scene="forest", style="photo")
        scene = paint("forest", "", np.random.default_rng(spec.seed), 128).resize((64, 64), 4)
        covered = np.abs(pixels(spec) - np.asarray(scene, dtype=np.float32)).max(-1) > 24
        rows = np.flatnonzero(covered.any(1))
        assert rows[-1] - rows[0] > 32
        assert 0.1 < covered.mean() < 0.85


@pytest.mark.parametrize("scene", SCENES)
def test_scenes_vary_but_stay_themselves(scene: str) -> None:
    painted = [np.asarray(paint(scene, "red", np.random.default_rng(seed), 128), dtype=np.float32) for seed in range(8)]
    spread = np.abs(painted[0] - painted[1]).mean()
    assert spread > 1
    others = [name for name in SCENES if name != scene]
    mean = np.mean([picture.mean((0, 1)) for picture in painted[:4]], axis=0)
    for picture in painted[4:]:
        own = np.abs(picture.mean((0, 1)) - mean).sum()
        assert own < 60, f"{scene} wandered off among {others}"


@pytest.mark.parametrize("colour", PLAIN_COLOURS)
def test_plain_backgrounds_have_the_named_colour(colour: str) -> None:
    painted = np.asarray(paint("plain", colour, np.random.default_rng(12), 64), dtype=np.float32).mean((0, 1))
    distances = {name: np.abs(painted - value).sum() for name, value in PLAIN_COLOURS.items()}
    assert min(distances, key=distances.__getitem__) == colour


def test_styles_look_like_what_they_are_called() -> None:
    rng = np.random.default_rng(13)
    who = (sample_identity(rng, "train", "robot", "red"),)
    styled = {}
    for style in STYLES:
        spec = sample_picture(np.random.default_rng(14), identities=who, scene="beach", style=style)
        styled[style] = pixels(spec)
    sketch, sepia, blocks, poster = (styled[name] for name in ("pencil sketch", "sepia photo", "pixel art", "poster"))
    assert np.ptp(sketch, axis=-1).max() < 16
    assert sketch.mean() > 150
    assert (sepia[..., 0] >= sepia[..., 1]).all()
    assert (sepia[..., 1] >= sepia[..., 2]).all()
    np.testing.assert_array_equal(blocks[::2, ::2], blocks[1::2, 1::2])
    assert len(np.unique(poster.reshape(-1, 3), axis=0)) <= 4
