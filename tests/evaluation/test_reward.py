"""ImageReward: published names find their places, and the score is that of its definition."""

import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from portraitist.errors import BadConfig
from portraitist.evaluation.reward import DEVIATION, MEAN, RewardNetwork, load_reward, read_published, rename

VISION = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 32,
}
TEXT = {"vocab_size": 50, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
# Published names of the picture tower, by transformers' names.
BACK = (
    (r"^vision\.embeddings\.class_embedding$", "blip.visual_encoder.cls_token"),
    (r"^vision\.embeddings\.position_embedding$", "blip.visual_encoder.pos_embed"),
    (r"^vision\.embeddings\.patch_embedding\.", "blip.visual_encoder.patch_embed.proj."),
    (r"^vision\.post_layernorm\.", "blip.visual_encoder.norm."),
    (r"^vision\.encoder\.layers\.(\d+)\.self_attn\.projection\.", r"blip.visual_encoder.blocks.\1.attn.proj."),
    (r"^vision\.encoder\.layers\.(\d+)\.self_attn\.", r"blip.visual_encoder.blocks.\1.attn."),
    (r"^vision\.encoder\.layers\.(\d+)\.layer_norm", r"blip.visual_encoder.blocks.\1.norm"),
    (r"^vision\.encoder\.layers\.(\d+)\.mlp\.", r"blip.visual_encoder.blocks.\1.mlp."),
    (r"^text\.", "blip.text_encoder."),
    (r"^head\.", "mlp.layers."),
)


def published(key: str) -> str:
    for pattern, replacement in BACK:
        if re.search(pattern, key):
            return re.sub(pattern, replacement, key)
    raise AssertionError(key)


def network(seed: int) -> RewardNetwork:
    """Return a network with weights large enough for every input to matter."""
    torch.manual_seed(seed)
    made = RewardNetwork(VISION, TEXT).eval()
    for parameter in made.parameters():
        parameter.data.mul_(8 if parameter.ndim > 1 else 1)
    return made


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    tensors = {published(key): value.clone() for key, value in network(0).state_dict().items()}
    save_file(tensors, tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


def inputs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    ids = torch.tensor([[2, 7, 9, 3, 0, 0], [2, 5, 3, 0, 0, 0]])
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)), ids, (ids > 0).long()


@torch.no_grad()
def test_published_weights_find_their_places(weights: Path) -> None:
    original, other = network(0), network(1)
    assert not torch.allclose(original(*inputs()), other(*inputs()))
    read_published(other, weights)
    torch.testing.assert_close(other(*inputs()), original(*inputs()))


@torch.no_grad()
def test_the_score_is_the_standardised_head_on_the_first_state() -> None:
    model = network(0)
    pixels, ids, mask = inputs()
    seen = model.vision(pixel_values=pixels).last_hidden_state
    states = model.text(
        input_ids=ids, attention_mask=mask, encoder_hidden_states=seen, is_decoder=False
    ).last_hidden_state
    head = nn.Sequential(
        nn.Linear(16, 1024), nn.Dropout(0.2), nn.Linear(1024, 128), nn.Dropout(0.2), nn.Linear(128, 64),
        nn.Dropout(0.1), nn.Linear(64, 16), nn.Linear(16, 1),
    ).eval()  # fmt: skip
    head.load_state_dict({key: value for key, value in model.head.state_dict().items()})
    expected = (head(states[:, 0])[:, 0] - MEAN) / DEVIATION
    torch.testing.assert_close(model(pixels, ids, mask), expected, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_the_text_looks_at_the_picture() -> None:
    model = network(0)
    pixels, ids, mask = inputs()
    assert (model(pixels, ids, mask) - model(pixels.flip(0), ids, mask)).abs().min() > 1e-7


@torch.no_grad()
def test_the_first_state_reads_the_whole_prompt() -> None:
    model = network(0)
    pixels, ids, mask = inputs()
    ids = ids[:1].repeat(2, 1)
    ids[1, 3] = 8
    scores = model(pixels[:1].repeat(2, 1, 1, 1), ids, mask[:1].repeat(2, 1))
    assert (scores[0] - scores[1]).abs() > 1e-7


def test_names() -> None:
    key = "blip.visual_encoder.blocks.11.attn.proj.weight"
    assert rename(key) == "vision.encoder.layers.11.self_attn.projection.weight"
    assert rename("blip.text_encoder.encoder.layer.3.crossattention.self.key.bias") == (
        "text.encoder.layer.3.crossattention.self.key.bias"
    )


def test_other_weights_are_refused(weights: Path, tmp_path: Path) -> None:
    tensors = load_file(weights)
    save_file({**tensors, "stranger": torch.zeros(1)}, weights)
    with pytest.raises(BadConfig, match="stranger"):
        read_published(network(0), weights)
    save_file({key: value for key, value in tensors.items() if key != "mlp.layers.7.bias"}, weights)
    with pytest.raises(BadConfig, match=r"head\.7\.bias"):
        read_published(network(0), weights)
    with pytest.raises(BadConfig, match=r"vocab\.txt"):
        load_reward(str(tmp_path))
