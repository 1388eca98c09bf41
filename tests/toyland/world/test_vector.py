"""Vector artwork with open colours: a drawn tile is linear in them."""

import builtins
from typing import Any

import numpy as np
import pytest

from portraitist.errors import MissingExtra
from portraitist.toyland.world.hands import cats, people
from portraitist.toyland.world.hands.strokes import SHADE, WHITE, ellipse, line, shape
from portraitist.toyland.world.vector import Tile, draw_picture, draw_tile, slots

SIZE = 96
# A level of 255 for each of the drawings that are added up: without open colours, and one for each of them.
BOUND = 2.5

OPEN = {
    "shaded": ellipse(200, 220, 150, fill="@skin") + shape("M100 100H400V300Z", SHADE, 0.3),
    "overlapping": ellipse(200, 220, 150, fill="@skin") + ellipse(300, 260, 120, fill="@hair", opacity=0.6),
    "outlined": line("M60 60Q256 480 450 90", 40, "@hair") + ellipse(256, 200, 40, fill=WHITE),
    "freckles": people.draw_layers()[8].variants["freckles"],
    "beard": people.draw_layers()[9].variants["long beard"],
    "cat's eyes": next(layer for layer in cats.draw_layers() if layer.part == "eyes").variants["almond left"],
}
COLOURS = {"skin": (210, 150, 120), "hair": (60, 40, 200), "freckle": (90, 60, 50), "iris": (66, 156, 226)}


def painted(tile: Tile, size: int) -> np.ndarray:
    """Paint a tile as the painter does: premultiplied ``[size, size, 4]`` from 0 to 255."""
    canvas = np.zeros((size, size, 4))
    h, w = tile.fixed.shape[:2]
    window = canvas[tile.top : tile.top + h, tile.left : tile.left + w]
    window += tile.fixed * 255
    for slot, weight in tile.weights.items():
        window[..., :3] += weight[..., None] * np.array(COLOURS[slot])
    return canvas


@pytest.mark.parametrize("fragment", OPEN.values(), ids=OPEN)
def test_painting_a_tile_equals_drawing_it_in_these_colours(fragment: str) -> None:
    coloured = fragment
    for slot, colour in COLOURS.items():
        coloured = coloured.replace(f"@{slot}", "#{:02x}{:02x}{:02x}".format(*colour))
    drawn = np.asarray(draw_picture(coloured, SIZE), np.float64)
    premultiplied = np.concatenate([drawn[..., :3] * drawn[..., 3:] / 255, drawn[..., 3:]], -1)
    assert np.abs(painted(draw_tile(fragment, SIZE), SIZE) - premultiplied).max() <= BOUND


def test_slots_are_named_in_order() -> None:
    assert slots(ellipse(1, 1, 1, fill="@skin") + line("M0 0H1", 1, "@hair")) == ("hair", "skin")


def test_a_tile_holds_what_is_drawn_and_no_more() -> None:
    tile = draw_tile(ellipse(256, 256, 64, fill="#ff0000"), 64)
    assert (tile.top, tile.left) == (24, 24)
    assert tile.fixed.shape == (16, 16, 4)
    assert tile.weights == {}


def test_nothing_drawn_is_an_empty_tile() -> None:
    tile = draw_tile(ellipse(900, 900, 20, fill="@skin"), 64)
    assert tile.fixed.size == 0
    assert tile.weights["skin"].size == 0


def test_a_missing_renderer_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    found = builtins.__import__

    def without_resvg(name: str, *rest: Any, **options: Any) -> Any:
        if name == "resvg_py":
            raise ImportError(name)
        return found(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", without_resvg)
    with pytest.raises(MissingExtra, match=r'resvg-py; install it with: pip install "portraitist\[toyland\]"'):
        draw_picture(ellipse(1, 1, 1), 8)
