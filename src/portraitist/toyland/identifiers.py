"""Identifiers: rare words that no caption holds, made as visible to the text encoder as the words it knows.

An embedding that was never trained is passed over: what the encoder says of a noun hardly moves when such a word stands
before it, and an adapter cannot tell "sks person" from "person". So identifiers are drawn from the distribution of the
trained words' embeddings (Hewitt, "Initializing new word embeddings for pretrained language models", 2021), until one
moves every noun. Prompts without identifiers are read as before.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from portraitist.randomness import torch_generator

# What share of a noun's state an identifier moves at least; a known colour moves 0.7 to 1.
VISIBLE = 0.5
_MOST_DRAWS = 500


@torch.no_grad()
def place_identifiers(
    text: CLIPTextModel,
    tokenizer: CLIPTokenizer,
    identifiers: Sequence[str],
    nouns: Sequence[str],
    known: Tensor,
    seed: int,
) -> dict[str, float]:
    """Give every identifier an embedding that the trained encoder does not pass over.

    Args:
        text: The trained encoder; only the identifiers' rows of its token embedding are changed.
        tokenizer: Its tokenizer, in which each identifier is one token.
        identifiers: The rare words.
        nouns: The class nouns that they will stand before.
        known: Ids of the tokens that captions hold, ``[n]``.
        seed: Seed of the draws.

    Returns:
        By identifier, the smallest share of a noun's state that it moves.
    """
    table = text.get_input_embeddings().weight
    words = table[known].clone()
    mean, spread = words.mean(0), (words - words.mean(0)) / (len(words) - 1) ** 0.5
    plain = {noun: _state_of_noun(text, tokenizer, noun) for noun in nouns}  # no draw changes these
    visible = {}
    for identifier in identifiers:
        (row,) = tokenizer(identifier, add_special_tokens=False).input_ids
        draws = torch_generator(seed, f"embedding of {identifier}")
        best, moved = table[row].clone(), 0.0
        for _ in range(_MOST_DRAWS):
            table[row] = mean + torch.randn(len(words), generator=draws).to(spread.device) @ spread
            share = min(_movement(text, tokenizer, identifier, noun, state) for noun, state in plain.items())
            if share > moved:
                best, moved = table[row].clone(), share
            if moved >= VISIBLE:
                break
        table[row] = best
        visible[identifier] = moved
    return visible


@torch.no_grad()
def movement(text: CLIPTextModel, tokenizer: CLIPTokenizer, word: str, noun: str) -> float:
    """Return how far what the encoder says of a noun moves when a word stands before it, relative to its length."""
    return _movement(text, tokenizer, word, noun, _state_of_noun(text, tokenizer, noun))


def _movement(text: CLIPTextModel, tokenizer: CLIPTokenizer, word: str, noun: str, plain: Tensor) -> float:
    return float((_state_of_noun(text, tokenizer, f"{word} {noun}") - plain).norm() / plain.norm())


def _state_of_noun(text: CLIPTextModel, tokenizer: CLIPTokenizer, words: str) -> Tensor:
    """Return what the encoder says at the last word of a prompt, ``[width]``."""
    ids = torch.tensor([tokenizer(f"a photo of a {words}").input_ids], device=text.device)
    state: Tensor = text(ids).last_hidden_state[0, -2]
    return state
