"""The hands: whatever a picture may ask for is drawn, and is seen."""

import re

import numpy as np
import pytest

from portraitist.errors import MissingExtra
from portraitist.toyland.world.captions import hair_style
from portraitist.toyland.world.colours import NATURAL_HAIR
from portraitist.toyland.world.hands import cats, dicebear, monsters, people, robots, worn
from portraitist.toyland.world.hands.layers import Layer
from portraitist.toyland.world.identities import KINDS, sample_identity
from portraitist.toyland.world.pictures import sample_picture
from portraitist.toyland.world.vector import draw_picture

HANDS = {"person": people, "cat": cats, "robot": robots, "monster": monsters}
LAYERS = {kind: hand.draw_layers() for kind, hand in HANDS.items()}
SIZE = 96
LEAST_PIXELS = 3
# What a hand does not draw by a name of its own: words for captions.
WORDS = {"colour", "accent", "hair colour", "skin", "iris", "mark", "eye shape", "brow", "texture", "mood"}


@pytest.mark.parametrize("kind", KINDS)
def test_every_variant_of_every_layer_draws_something_inside_the_canvas(kind: str) -> None:
    for layer in LAYERS[kind]:
        for name, fragment in layer.variants.items():
            drawn = np.asarray(draw_picture(re.sub("@[a-z]+", "#808080", fragment), SIZE))
            assert (drawn[..., 3] > 16).sum() >= LEAST_PIXELS, f"{layer.part}: {name}"


@pytest.mark.parametrize("kind", KINDS)
def test_variants_of_a_part_differ(kind: str) -> None:
    for part in {layer.part for layer in LAYERS[kind]}:
        layers = [layer for layer in LAYERS[kind] if layer.part == part]
        names = {name for layer in layers for name in layer.variants}
        assert len({tuple(layer.variants.get(name) for layer in layers) for name in names}) == len(names), part


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_a_picture_asks_for_exists(kind: str) -> None:
    rng = np.random.default_rng(1)
    layers: dict[str, list[Layer]] = {}
    for layer in LAYERS[kind]:
        layers.setdefault(layer.part, []).append(layer)
    for _ in range(400):
        (subject,) = sample_picture(rng, identities=(sample_identity(rng, None, kind),)).subjects
        for part, name in subject.drawn.items():
            known = any(name in layer.variants for layer in layers.get(part, ()))
            bare = (part, name) in {("coat", "plain"), ("hair", "bald")} or (kind, part) == ("monster", "top")
            assert known or not name or part in WORDS or bare, (part, name)


def test_open_colours_are_all_given() -> None:
    rng = np.random.default_rng(2)
    for kind, layers in LAYERS.items():
        for _ in range(150):
            (subject,) = sample_picture(rng, identities=(sample_identity(rng, None, kind),)).subjects
            for layer in layers:
                fragment = layer.variants.get(subject.drawn.get(layer.part, ""), "")
                assert set(re.findall("@([a-z]+)", fragment)) <= set(subject.palette)


def test_every_drawing_of_hair_has_one_style() -> None:
    drawings = [drawing for drawings in people.HAIR_STYLES.values() for drawing in drawings]
    assert len(drawings) == len(set(drawings))
    assert set(people.WITH_FRINGE) <= set(drawings)
    assert set(people.UNDER_HATS) <= set(people.HAIR_STYLES)
    assert hair_style("short17") == "a {} flat top"
    assert hair_style(people.BALD) == ""
    assert all(name in "black brown auburn ginger blonde grey white" for name in NATURAL_HAIR)


def test_hats_end_above_the_chin_and_below_the_upper_edge() -> None:
    for kind in ("person", "cat"):
        layer = next(layer for layer in LAYERS[kind] if layer.part == "hat" and not layer.erases)
        for name, fragment in layer.variants.items():
            rows = np.asarray(draw_picture(re.sub("@[a-z]+", "#808080", fragment), 128))[..., 3].any(1)
            assert not rows[0], f"the {name} of a {kind} is cut"
            assert rows.nonzero()[0].max() < 100


def test_what_covers_a_head_is_a_hat() -> None:
    assert set(worn.COVERING) <= set(worn.HATS)
    assert set(worn.PINNED) <= set(worn.HATS)


def test_missing_artwork_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    dicebear.load_style.cache_clear()
    monkeypatch.setattr(dicebear, "find_spec", lambda name: None)
    try:
        with pytest.raises(
            MissingExtra, match=r'dicebear-styles; install it with: pip install "portraitist\[toyland\]"'
        ):
            dicebear.load_style("critters")
    finally:
        dicebear.load_style.cache_clear()


def test_a_component_leaves_out_what_is_not_chosen() -> None:
    with_top = dicebear.component("critters", "body", "dome", top="horns")
    without = dicebear.component("critters", "body", "dome")
    assert len(with_top) > len(without)
    assert "@body" in without
