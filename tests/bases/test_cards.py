"""Cards as values, and as torch tells of them."""

import contextlib
from types import SimpleNamespace

import pytest
import torch

from portraitist.bases.cards import Card, card_of_size


def test_a_processor_is_no_card() -> None:
    assert Card.of("cpu") is None
    assert Card.of("mps") is None


def test_a_card_as_torch_tells_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    turing = SimpleNamespace(name="Turing", total_memory=11 * 2**30, major=7, minor=5)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: turing)
    monkeypatch.setattr(torch.cuda, "device", lambda device: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: including_emulation)
    card = Card.of("cuda:1")
    assert card == Card("Turing", 11 * 2**30, bfloat16=False, tf32=False)
    assert card.half is torch.float16


def test_a_card_of_a_size() -> None:
    card = card_of_size(24)
    assert (card.memory, card.half) == (24 * 2**30, torch.bfloat16)
    assert 22 * 2**30 < card.room < card.memory
