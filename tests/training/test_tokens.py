"""Rare tokens: single ones pass, others are advised against."""

from pathlib import Path

import pytest
from transformers import CLIPTokenizer

from portraitist.toyland.world.captions import IDENTIFIERS
from portraitist.training.tokens import RARE_TOKENS, count_tokens, token_warning


@pytest.fixture(scope="module")
def tokenizer(tiny_base_folder: Path) -> CLIPTokenizer:
    return CLIPTokenizer.from_pretrained(tiny_base_folder / "tokenizer")


def test_every_rare_token_is_one_of_toyland(tokenizer: CLIPTokenizer) -> None:
    assert set(RARE_TOKENS) <= set(IDENTIFIERS)
    assert all(token_warning(tokenizer, token) is None for token in RARE_TOKENS)


def test_a_word_of_several_tokens_is_advised_against(tokenizer: CLIPTokenizer) -> None:
    count = count_tokens(tokenizer, "xyzzyx")
    assert count > 1
    expected = f"the token 'xyzzyx' is split into {count} tokens; rare single tokens of this base: sks, olo, zwx, qyx"
    assert token_warning(tokenizer, "xyzzyx") == expected


def test_without_rare_tokens_none_is_advised() -> None:
    letters = lambda word, add_special_tokens: type("Tokens", (), {"input_ids": list(word)})()  # noqa: E731
    assert token_warning(letters, "sks") == "the token 'sks' is split into 3 tokens"
