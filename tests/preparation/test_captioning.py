"""Captions by tiny untrained networks: what is said is nonsense, but always the same, and comes to the right place."""

from pathlib import Path

import pytest
import torch
from drawn_photos import save_photos
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import (
    BlipConfig,
    BlipForConditionalGeneration,
    BlipImageProcessor,
    GitConfig,
    GitForCausalLM,
    PreTrainedTokenizerFast,
)

from portraitist.errors import BadConfig
from portraitist.preparation import Criteria, prepare, write_prepared
from portraitist.preparation.captioning import caption, load_captioner, name_subject

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[DEC]",
    *["a", "cat", "dog", "on", "the", "table", "with", "red", "hat", "and", "blue", "ball", "in", "snow"],
]
TEXT = {
    "vocab_size": len(WORDS),
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "bos_token_id": 4,
    "eos_token_id": 3,
    "sep_token_id": 3,
    "pad_token_id": 0,
}
VISION = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 16,
}


def save_captioner(folder: Path, kind: str) -> Path:
    """Write a captioner with random weights."""
    torch.manual_seed(3)
    if kind == "blip":
        text = {**TEXT, "encoder_hidden_size": 16, "projection_dim": 16}
        config = BlipConfig(text_config=text, vision_config=VISION, projection_dim=16, image_text_hidden_size=16)
        BlipForConditionalGeneration(config).save_pretrained(folder)
    else:
        GitForCausalLM(GitConfig(vision_config=VISION, **TEXT)).save_pretrained(folder)
    BlipImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    words = Tokenizer(WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = Whitespace()
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(tokenizer_object=words, **special).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_captioner(tmp_path_factory.mktemp("blip"), "blip")


def test_photos_without_a_caption_get_one(folder: Path, tmp_path: Path) -> None:
    photos = save_photos(tmp_path / "photos", 3)
    (photos / "1.txt").write_text("a {} on a wall")
    prepared = prepare([photos], Criteria(size=96))
    captioner = load_captioner(folder)
    captions = caption(prepared, captioner)
    assert [path.name for path in captions] == ["0.png", "2.png"]
    assert all(set(text.split()) <= set(WORDS) and text for text in captions.values())
    assert caption(prepared, captioner) == captions
    write_prepared(prepared, tmp_path / "out", captions)
    assert (tmp_path / "out" / "1.txt").read_text() == "a {} on a wall"
    assert (tmp_path / "out" / "0.txt").read_text() == captions[photos / "0.png"] + "\n"


def test_git_captions_too(tmp_path: Path) -> None:
    photos = save_photos(tmp_path / "photos", 1)
    captions = caption(prepare([photos], Criteria(size=96)), load_captioner(save_captioner(tmp_path / "git", "git")))
    assert set(captions[photos / "0.png"].split()) <= set(WORDS)


@pytest.mark.parametrize(
    ("text", "noun", "expected"),
    [
        ("a cat beside a cat", "cat", "a {} beside a cat"),
        ("A Toy Robot on a table", "toy robot", "A {} on a table"),
        ("cats {on} a table", "cat", "cats on a table"),
        ("a dog", "", "a dog"),
    ],
)
def test_the_subject_has_its_place(text: str, noun: str, expected: str) -> None:
    assert name_subject(text, noun) == expected


def test_what_is_no_captioner_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match=r"no readable config\.json"):
        load_captioner(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "vit"}')
    with pytest.raises(BadConfig, match="a model of kind 'vit'; captioners can be: blip, git"):
        load_captioner(tmp_path)
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = load_file(tmp_path / "model.safetensors")
    gone = next(key for key in weights if "text_decoder.bert.encoder" in key)
    save_file({k: v for k, v in weights.items() if k != gone}, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(BadConfig, match="is incomplete \\(it lacks text_decoder"):
        load_captioner(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(BadConfig, match="is incomplete or damaged"):
        load_captioner(tmp_path)
