"""The tokenizer: byte-pair encoding in CLIP's format, trained on captions, with rare identifiers as single tokens."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import CLIPTokenizer

WORD_END = "</w>"
START, END = "<|startoftext|>", "<|endoftext|>"

# An identifier must become one token however small the corpus is beside it.
_IDENTIFIER_COUNT = 1_000_000


def train_tokenizer(captions: Iterable[str], identifiers: Sequence[str], size: int, length: int) -> CLIPTokenizer:
    """Train a tokenizer whose single tokens include every identifier.

    Args:
        captions: The training corpus.
        identifiers: Rare strings that must be single tokens though no caption holds them.
        size: Vocabulary size; the 512 byte symbols and two markers are always there.
        length: Tokens of a prompt, markers included.
    """
    bare = CLIPTokenizer()
    words: Counter[str] = Counter()
    for caption in captions:
        normal = bare.backend_tokenizer.normalizer.normalize_str(caption)
        words.update(word for word, _ in bare.backend_tokenizer.pre_tokenizer.pre_tokenize_str(normal))
    words.update(dict.fromkeys(identifiers, _IDENTIFIER_COUNT))
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = _learn_merges(words, size - 2 * len(alphabet) - 2, alphabet)
    symbols = [*alphabet, *(letter + WORD_END for letter in alphabet), *(a + b for a, b in merges), START, END]
    vocabulary = {symbol: index for index, symbol in enumerate(dict.fromkeys(symbols))}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=length)


def _learn_merges(words: Counter[str], count: int, alphabet: list[str]) -> list[tuple[str, str]]:
    """Learn at most `count` merges from words with their frequencies."""
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix=WORD_END))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.BpeTrainer(
        vocab_size=2 * len(alphabet) + count,
        min_frequency=1,
        initial_alphabet=alphabet,
        end_of_word_suffix=WORD_END,
        show_progress=False,
    )
    # The trainer counts words itself; logarithmic repetition keeps the order of frequencies and the corpus short.
    tokenizer.train_from_iterator(
        (" ".join([word] * frequency.bit_length()) for word, frequency in sorted(words.items())), trainer
    )
    learned = json.loads(tokenizer.to_str())["model"]["merges"]
    return [(first, second) for first, second in learned[:count]]


def single_token(tokenizer: CLIPTokenizer, word: str) -> bool:
    """Say whether a word is one token."""
    return len(tokenizer(word, add_special_tokens=False).input_ids) == 1


def tokenize(tokenizer: CLIPTokenizer, captions: Sequence[Sequence[str]]) -> Tensor:
    """Return the tokens of every picture's captions, ``[n, captions, tokens]`` in int16, padded and cut."""
    flat = [caption for row in captions for caption in row]
    ids = np.array(tokenizer(flat, padding="max_length", truncation=True).input_ids, dtype=np.int16)
    return torch.from_numpy(ids).view(len(captions), -1, tokenizer.model_max_length)
