"""CLIP's tokenizer from the merges that ship with the package: single-file checkpoints hold none."""

import gzip
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import CLIPTokenizer

_WORD_END = "</w>"
_START, _END = "<|startoftext|>", "<|endoftext|>"
_LENGTH = 77
# The letters GPT-2's byte encoding gives to bytes without a printable sign stand behind all others in the vocabulary.
_FIRST_SUBSTITUTE = 256


def build_clip_tokenizer(pad_token: str = _END) -> "CLIPTokenizer":
    """Build the tokenizer of OpenAI's CLIP, 49,408 tokens.

    Args:
        pad_token: ``<|endoftext|>`` for the CLIP of Stable Diffusion 1.x; ``!`` for OpenCLIP in 2.x and XL.
    """
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPTokenizer

    merges = _merges()
    bytes_ = sorted(ByteLevel.alphabet(), key=lambda letter: (ord(letter) >= _FIRST_SUBSTITUTE, ord(letter)))
    symbols = [*bytes_, *(letter + _WORD_END for letter in bytes_), *(first + second for first, second in merges)]
    vocabulary = {symbol: index for index, symbol in enumerate([*symbols, _START, _END])}
    return CLIPTokenizer(vocab=vocabulary, merges=list(merges), pad_token=pad_token, model_max_length=_LENGTH)


@cache
def _merges() -> tuple[tuple[str, str], ...]:
    packed = files("portraitist.bases").joinpath("configs").joinpath("clip").joinpath("merges.txt.gz").read_bytes()
    lines = gzip.decompress(packed).decode().splitlines()
    return tuple((first, second) for first, second in (line.split(" ") for line in lines))
