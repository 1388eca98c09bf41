"""Adapters on the base they were made for, and prompts that name the subject."""

from pathlib import Path
from typing import Any

import pytest
import torch

from portraitist.adapters import Adapter, find_layers
from portraitist.bases import Base, load_base
from portraitist.errors import BaseMismatch
from portraitist.generation import SamplingConfig, check_base, generate, prompt_warning


@pytest.fixture(scope="module")
def base(tiny_base_folder: Path) -> Base:
    return load_base(tiny_base_folder)


def adapter(on: Base, /, **metadata: Any) -> Adapter:
    made = Adapter.create("lora", {}, find_layers(on.components, ["unet.*.to_q"]), torch.Generator())
    made.provenance.facts.update(metadata)
    return made


def test_the_base_of_an_adapter_is_checked(base: Base, other_base_folder: Path) -> None:
    other = load_base(other_base_folder)
    made = adapter(base, base={"name": "here", "fingerprint": base.fingerprint})
    check_base(made, base)
    with pytest.raises(BaseMismatch, match=rf"for here \(fingerprint {base.fingerprint}\), not for .*other"):
        check_base(made, other)
    check_base(made, other, force=True)


@pytest.mark.parametrize("named", [{}, {"base": None}, {"base": "toyland"}, {"base": {"name": "toyland"}}])
def test_an_adapter_that_does_not_say_is_let_through(base: Base, named: dict[str, Any]) -> None:
    check_base(adapter(base, **named), base)


def test_generating_checks_too_and_leaves_the_base_as_it_was(base: Base, other_base_folder: Path) -> None:
    other = load_base(other_base_folder)
    made = adapter(base, base={"name": "here", "fingerprint": base.fingerprint})
    quick = SamplingConfig(steps=1)
    with pytest.raises(BaseMismatch):
        generate(other, ["a cat"], made, config=quick, show_progress=False)
    assert len(generate(other, ["a cat"], made, config=quick, force=True, show_progress=False)) == 1
    assert not any("forward" in vars(module) for module in other.components["unet"].modules())


@pytest.mark.parametrize("prompt", ["a sks cat", "SKS", "a photo of sks, cat", "(sks)"])
def test_a_prompt_with_the_token_is_fine(base: Base, prompt: str) -> None:
    assert prompt_warning(prompt, adapter(base, subject={"token": "sks"}, trigger="sks cat")) is None


@pytest.mark.parametrize("prompt", ["a cat", "", "sksy", "asks"])
def test_a_prompt_without_the_token_is_not(base: Base, prompt: str) -> None:
    warning = prompt_warning(prompt, adapter(base, subject={"token": "sks"}, trigger="sks cat"))
    assert warning is not None
    assert "'sks cat'" in warning


def test_a_token_may_hold_signs(base: Base) -> None:
    made = adapter(base, subject={"token": "<cat>"}, trigger="<cat> cat")
    assert prompt_warning("a <cat> cat", made) is None
    assert prompt_warning("a cat", made) is not None


def test_an_adapter_without_a_subject_asks_for_no_token(base: Base) -> None:
    assert prompt_warning("a cat", adapter(base)) is None
    assert prompt_warning("a cat", adapter(base, subject="damaged")) is None
