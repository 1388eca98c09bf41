"""Painting: a picture follows from its specification, whoever is painted with it."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from portraitist.toyland.world import painting
from portraitist.toyland.world.colours import CLOTH
from portraitist.toyland.world.identities import KINDS, sample_identity
from portraitist.toyland.world.painting import Painter, plan, render
from portraitist.toyland.world.pictures import PictureSpec, sample_picture
from portraitist.toyland.world.styles import STYLES

Paint = Callable[[Sequence[PictureSpec]], np.ndarray]


def company(kind: str, other: str, seed: int = 1) -> PictureSpec:
    rng = np.random.default_rng(seed)
    pair = sample_identity(rng, None, kind), sample_identity(rng, None, other)
    return sample_picture(rng, identities=pair, scene="meadow", style="photo")


@pytest.fixture(scope="module")
def specs() -> list[PictureSpec]:
    rng = np.random.default_rng(1)
    styled = [sample_picture(rng, style=style) for style in STYLES for _ in range(2)]
    alike = [company(kind, kind) for kind in KINDS]
    return [*styled, *alike, *(sample_picture(rng, style="photo") for _ in range(14))]


def assert_same(pictures: np.ndarray, others: np.ndarray) -> None:
    """Compare pictures; sums in another order may round a few values of a style to another level."""
    assert (pictures != others).mean() < 2e-4
    assert np.abs(pictures - others).mean() < 1e-3


def test_alone_or_in_company_in_any_order_a_picture_is_the_same(specs: list[PictureSpec], paint: Paint) -> None:
    together = paint(specs)
    order = np.random.default_rng(2).permutation(len(specs))
    assert_same(paint([specs[i] for i in order]), together[order])
    assert_same(np.concatenate([paint([spec]) for spec in specs]), together)


def test_a_spec_can_be_rendered_by_itself(
    specs: list[PictureSpec], painter: Painter, paint: Paint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(painting, "_painter", lambda: painter)
    picture = render(specs[0])
    assert (picture.size, picture.mode) == ((128, 128), "RGB")
    np.testing.assert_array_equal(np.asarray(picture, np.float32), paint(specs[:1])[0])


def test_pictures_differ(specs: list[PictureSpec], paint: Paint) -> None:
    pictures = paint(specs)
    for index, picture in enumerate(pictures):
        for other in pictures[index + 1 :]:
            assert np.abs(picture - other).mean() > 3


@pytest.mark.parametrize("kind", KINDS)
def test_everybody_is_seen(kind: str, paint: Paint) -> None:
    rng = np.random.default_rng(3)
    (spec,) = [sample_picture(rng, identities=(sample_identity(rng, None, kind),), scene="room", style="photo")]
    far = replace(spec, subjects=(replace(spec.subjects[0], x=9.0),))
    with_somebody, without = paint([spec, far])
    assert (np.abs(with_somebody - without).max(-1) > 24).mean() > 0.2


@pytest.mark.parametrize(("kind", "other"), [("person", "cat"), ("cat", "person"), ("robot", "robot")])
def test_the_right_one_stands_in_front_unless_the_left_one_holds_something(kind: str, other: str, paint: Paint) -> None:
    spec = company(kind, other)
    left, right = (replace(one.without("held"), x=0.5, tilt=0.0) for one in spec.subjects)
    both, alone = replace(spec, subjects=(left, right)), replace(spec, subjects=(right,))
    holding = replace(left, parts=tuple((part, "cup" if part == "held" else name) for part, name in left.parts))
    holding = replace(holding, colours=(*holding.colours, ("held", (250, 20, 20))))
    pictures = paint([both, alone, replace(spec, subjects=(holding, right)), replace(spec, subjects=(holding,))])
    middle = (slice(None), slice(84, 100), slice(56, 72))  # within everybody
    right_in_front, right_alone, left_in_front, left_alone = pictures[middle]
    assert np.abs(right_in_front - right_alone).max() <= 1
    assert np.abs(left_in_front - left_alone).max() <= 1


def test_a_tilted_and_a_mirrored_figure_are_the_same_figure_moved(paint: Paint) -> None:
    rng = np.random.default_rng(4)
    spec = sample_picture(rng, identities=(sample_identity(rng, None, "cat"),), scene="plain", colour="green")
    cat = replace(spec.subjects[0], x=0.5, tilt=0.0, mirrored=False)
    straight, other = paint(
        [replace(spec, subjects=(replace(cat, mirrored=flag),), style="photo") for flag in (False, True)]
    )
    # The shadow and the light fall from the same side, so only the figure's own middle is compared.
    middle = (slice(40, 88), slice(44, 84))
    assert np.abs(straight[middle] - other[:, ::-1][middle]).mean() < 3
    tilted = paint([replace(spec, subjects=(replace(cat, tilt=5.0),), style="photo")])[0]
    assert np.abs(straight - tilted).mean() > 0.5


@pytest.mark.parametrize("colour", CLOTH)
def test_a_plain_backdrop_is_of_its_colour(colour: str, paint: Paint) -> None:
    rng = np.random.default_rng(5)
    spec = sample_picture(rng, count=1, scene="plain", colour=colour, style="photo")
    picture = paint([replace(spec, subjects=(replace(spec.subjects[0], x=9.0),))])[0]
    low, high = np.array(CLOTH[colour].dark), np.array(CLOTH[colour].light)
    assert np.all(picture.mean((0, 1)) > low * 0.9 - 12)
    assert np.all(picture.mean((0, 1)) < high * 1.08 + 12)


def test_a_plan_is_made_without_artwork_and_holds_what_is_painted() -> None:
    spec = company("cat", "person")
    drawn = plan([spec, spec])
    assert len(drawn) == 2
    assert set(drawn.figures) == {"cat", "person"}
    assert drawn.figures["cat"].picture.tolist() == [0, 1]
    assert [drawn.figures[kind].front.tolist() for kind in ("cat", "person")] in (
        [[False] * 2, [True] * 2],
        [[True] * 2, [False] * 2],
    )


def test_pictures_are_bytes_on_the_painters_device(painter: Painter, specs: list[PictureSpec]) -> None:
    pictures = painter.paint(plan(specs[:3]))
    assert pictures.shape == (3, 3, 128, 128)
    assert pictures.dtype == torch.uint8
    assert pictures.device == painter.device
