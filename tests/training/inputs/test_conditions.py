"""Prompts of a bank's adapters: each different one is encoded once, by the adapter that it belongs to."""

from pathlib import Path

import pytest
import torch
from torch import nn

from portraitist.adapters import Adapter, attached, find_layers, stack, unstack
from portraitist.bases import Base, load_base
from portraitist.training.inputs.conditions import PromptBook


@pytest.fixture(scope="module")
def base(tiny_base_folder: Path) -> Base:
    return load_base(tiny_base_folder)


@pytest.fixture(scope="module")
def bank(base: Base) -> Adapter:
    adapters = []
    for seed in range(2):
        generator = torch.Generator().manual_seed(seed)
        specs = find_layers(base.components, ["text_encoder.*q_proj"])
        adapter = Adapter.create("lora", {"rank": 2}, specs, generator)
        for tensors in adapter.values.values():
            for key, value in tensors.items():
                tensors[key] = nn.Parameter(torch.randn(value.shape, generator=generator))
        adapters.append(adapter)
    return stack(adapters)


P, Q, R = "a photo of a cat", "a photo of a robot", "a cat"


@pytest.mark.parametrize(
    "prompts",
    [
        pytest.param([P, Q, P, Q], id="as many different ones as adapters"),
        pytest.param([P, P, P, P], id="one for all"),
        pytest.param([P, Q, R, R], id="more for one adapter than for the other"),
        pytest.param([P, Q, R, P, Q, P], id="in another order"),
    ],
)
@torch.no_grad()
def test_every_adapter_of_a_bank_reads_its_own_prompts(base: Base, bank: Adapter, prompts: list[str]) -> None:
    with attached(base.components, bank):
        together = PromptBook(base, fixed=False, adapters=2).encode(prompts)["encoder_hidden_states"]
    half = len(prompts) // 2
    alone = []
    for adapter, own in zip(unstack(bank), (prompts[:half], prompts[half:]), strict=True):
        with attached(base.components, adapter):
            alone.append(PromptBook(base, fixed=False).encode(own)["encoder_hidden_states"])
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_each_different_prompt_is_encoded_once(base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []
    encode = base.family.encode_prompts
    monkeypatch.setattr(base.family, "encode_prompts", lambda prompts: asked.append(list(prompts)) or encode(prompts))
    PromptBook(base, fixed=False).encode([P, Q, P, Q])
    PromptBook(base, fixed=False, adapters=2).encode([P, P, Q, P])
    assert asked == [[P, Q], [P, P, Q, P]]


def test_prompts_that_are_no_equal_groups_are_refused(base: Base) -> None:
    with pytest.raises(ValueError, match="3 prompts cannot be split into 2 equal groups"):
        PromptBook(base, fixed=False, adapters=2).encode([P, Q, R])
