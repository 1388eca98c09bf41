"""Identifiers are as visible to the text encoder as the words it knows, and nothing else changes."""

import pytest
import torch
from transformers import CLIPTextConfig, CLIPTextModel

from portraitist.bases import load_base
from portraitist.toyland.identifiers import VISIBLE, movement, place_identifiers
from portraitist.toyland.tokenizer import train_tokenizer
from portraitist.toyland.world.captions import IDENTIFIERS
from portraitist.toyland.world.identities import KINDS


@pytest.mark.weights
@pytest.mark.parametrize("identifier", ["sks", "olo", IDENTIFIERS[-1]])
def test_identifiers_of_the_shipped_encoder_move_every_noun(identifier: str) -> None:
    pipeline = load_base("toyland").pipeline
    for noun in KINDS:
        # Stored in half precision.
        assert movement(pipeline.text_encoder, pipeline.tokenizer, identifier, noun) > VISIBLE - 0.01


def test_only_identifiers_are_placed_and_always_in_the_same_place() -> None:
    captions = ["a photo of a red cat", "a photo of a blue robot on the beach"]
    tokenizer = train_tokenizer(captions, ["sks", "olo"], 560, 16)
    torch.manual_seed(0)
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=16,
        eos_token_id=tokenizer.eos_token_id,
    )
    text = CLIPTextModel(config).eval()
    known = torch.unique(torch.tensor([id for ids in tokenizer(captions).input_ids for id in ids]))
    table = text.get_input_embeddings().weight
    table.data[known] *= 3  # as training would leave them
    before = {name: value.clone() for name, value in text.state_dict().items()}
    visible = place_identifiers(text, tokenizer, ["sks", "olo"], ["cat", "robot"], known, seed=1)
    after = {name: value.clone() for name, value in text.state_dict().items()}
    (changed,) = [name for name in before if not torch.equal(before[name], after[name])]
    rows = (before[changed] != after[changed]).any(1).nonzero().flatten().tolist()
    assert sorted(rows) == sorted(tokenizer("sks olo", add_special_tokens=False).input_ids)
    for word, share in visible.items():
        moved = [movement(text, tokenizer, word, noun) for noun in ("cat", "robot")]
        assert share == pytest.approx(min(moved))
    text.load_state_dict(before)
    assert place_identifiers(text, tokenizer, ["sks", "olo"], ["cat", "robot"], known, seed=1) == visible
    assert torch.equal(text.state_dict()[changed], after[changed])
