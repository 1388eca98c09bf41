"""Prompts that name the subject of an adapter, and those that do not."""

from typing import Any

import pytest

from portraitist.adapters import Adapter, Provenance, Space
from portraitist.generation.prompts import prompt_warning, syntax_warnings


def adapter(**facts: Any) -> Adapter:
    return Adapter(Space.of("lora", {}, []), {}, Provenance(facts))


@pytest.mark.parametrize("prompt", ["a sks cat", "SKS", "a photo of sks, cat", "(sks)"])
def test_a_prompt_with_the_token_is_fine(prompt: str) -> None:
    assert prompt_warning(prompt, adapter(subject={"token": "sks"}, trigger="sks cat")) is None


@pytest.mark.parametrize("prompt", ["a cat", "", "sksy", "asks"])
def test_a_prompt_without_the_token_is_not(prompt: str) -> None:
    warning = prompt_warning(prompt, adapter(subject={"token": "sks"}, trigger="sks cat"))
    assert warning is not None
    assert "'sks cat'" in warning


def test_a_token_may_hold_signs() -> None:
    made = adapter(subject={"token": "<cat>"}, trigger="<cat> cat")
    assert prompt_warning("a <cat> cat", made) is None
    assert prompt_warning("a cat", made) is not None


def test_an_adapter_without_a_subject_asks_for_no_token() -> None:
    assert prompt_warning("a cat", adapter()) is None
    assert prompt_warning("a cat", adapter(subject="damaged")) is None


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("a (sks cat:1.3) on the beach", ["(sks cat:1.3) in the prompt is read as text"]),
        ("a cat <lora:mine:0.8>", ["load the LoRA with --adapter mine.safetensors:0.8"]),
        ("a (cat:1.2) <lora:mine>", ["(cat:1.2) in the prompt", "--adapter mine.safetensors"]),
        ("a cat (asleep), ratio 4:3", []),
        ("a <cat> cat", []),
    ],
)
def test_what_other_programs_would_read_is_said(prompt: str, words: list[str]) -> None:
    lines = syntax_warnings(prompt)
    assert len(lines) == len(words)
    assert all(each in line for each, line in zip(words, lines, strict=True))
