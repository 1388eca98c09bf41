"""CLIP's tokenizer from its merges: the token ids that are in print."""

from portraitist.bases.clip_tokenizer import build_clip_tokenizer


def test_token_ids_are_those_of_clip() -> None:
    tokenizer = build_clip_tokenizer()
    assert len(tokenizer) == 49408
    assert tokenizer("a photo of a cat", add_special_tokens=False).input_ids == [320, 1125, 539, 320, 2368]
    assert tokenizer("sks", add_special_tokens=False).input_ids == [48136]
    ids = tokenizer("a cat", padding="max_length", max_length=6).input_ids
    assert ids == [49406, 320, 2368, 49407, 49407, 49407]


def test_open_clip_pads_with_zeros() -> None:
    ids = build_clip_tokenizer("!")("a cat", padding="max_length", max_length=6).input_ids
    assert ids == [49406, 320, 2368, 49407, 0, 0]
