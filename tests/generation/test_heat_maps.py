"""Heat maps: every layer of every pair has its colour."""

import pytest

from portraitist.errors import BadConfig
from portraitist.generation.heat_maps import block_of, colour_of, draw_heat_map

LAYERS = {"text_encoder.layers.0.q_proj": 1.0, "unet.down_blocks.0.conv": -1.0, "unet.mid_block.conv": 0.0}


def test_every_similarity_has_its_colour() -> None:
    picture = draw_heat_map([("a, b", LAYERS), ("a, c", {"unet.mid_block.conv": 0.5})], "title")
    colours = {colour for _, colour in picture.getcolors(1 << 20)}
    assert {colour_of(value) for value in (-1.0, 0.0, 0.5, 1.0)} <= colours


def test_red_is_alike_and_blue_is_opposite() -> None:
    red, blue = colour_of(1.0), colour_of(-1.0)
    assert red[0] > red[2]
    assert blue[2] > blue[0]
    assert colour_of(3.0) == red


@pytest.mark.parametrize(
    ("layer", "block"),
    [
        ("unet.down_blocks.1.attentions.0.to_q", "unet.down_blocks.1"),
        ("unet.mid_block.resnets.0.conv1", "unet.mid_block"),
        ("unet.conv_in", "unet.conv_in"),
        ("text_encoder.text_model.encoder.layers.0.self_attn.q_proj", "text_encoder"),
    ],
)
def test_layers_are_grouped_by_block(layer: str, block: str) -> None:
    assert block_of(layer) == block


def test_refuses_an_empty_map() -> None:
    with pytest.raises(BadConfig, match="no layer"):
        draw_heat_map([("a, b", {})])
