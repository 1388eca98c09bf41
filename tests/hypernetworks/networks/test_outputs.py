from pathlib import Path

import pytest
import torch

from portraitist.adapters import Provenance, attached, find_layers, load_adapter, save_adapter
from portraitist.bases import Base
from portraitist.hypernetworks.networks.outputs import Output, with_token, without_token
from portraitist.hypernetworks.settings import OutputSettings

LIDB = OutputSettings(space="lidb", config={"a": 6, "b": 4}, layers="attention+text")
SUBSPACE = OutputSettings(space="subspace", config={"changes": 3}, layers="attention+text")
WITH_TOKEN = SUBSPACE.model_copy(update={"token": True})
PATTERNS = ("unet.*.to_q", "unet.*.to_v", "text_encoder.*.q_proj", "text_encoder.*token_embedding")


def output(base: Base, settings: OutputSettings) -> Output:
    torch.manual_seed(0)
    return Output(settings, find_layers(base.components, PATTERNS), base.family.token_ids("sks"), 0.1)


def numbers(count: int, people: int) -> torch.Tensor:
    return torch.randn(people, count, generator=torch.Generator().manual_seed(1))


def pictured(base: Base, people: int) -> torch.Tensor:
    """Return what the base predicts for as many prompts, adapters on it or not."""
    states = base.family.encode_prompts(["a photo of a sks cat"] * people)
    latents = torch.ones(people, 4, base.family.resolution // 4, base.family.resolution // 4)
    return base.family.predict(latents, torch.full((people,), 500), states)


@pytest.mark.parametrize("settings", [LIDB, SUBSPACE, WITH_TOKEN])
def test_an_adapter_does_what_its_place_in_the_bank_does(base: Base, settings: OutputSettings, tmp_path: Path) -> None:
    made = output(base, settings)
    flat = numbers(made.count, 2)
    assert sum(made.sizes) == made.count
    attachment = made.attach(base.components)
    with torch.no_grad():
        made.feed(attachment, flat)
        both = pictured(base, 2)
        attachment.detach()
        plain = pictured(base, 1)
        adapter = made.adapter(flat[1], Provenance({"trigger": "sks cat"})).adapter
        save_adapter(adapter, tmp_path / "one.safetensors")
        read = load_adapter(tmp_path / "one.safetensors")
        with attached(base.components, read):
            alone = pictured(base, 1)
    torch.testing.assert_close(both[1:], alone, atol=1e-4, rtol=1e-3)
    assert not torch.allclose(alone, plain, atol=1e-3)
    assert read.provenance.trigger == "sks cat"


def test_methods_of_what_is_predicted(base: Base) -> None:
    made = [output(base, settings) for settings in (LIDB, SUBSPACE, WITH_TOKEN)]
    adapters = [each.adapter(numbers(each.count, 1)[0], Provenance()).adapter for each in made]
    assert [each.method.name for each in adapters] == ["lidb", "lora", "textual-inversion+lora"]


def test_a_rank_says_what_it_kept(base: Base) -> None:
    made = output(base, SUBSPACE)
    flat = numbers(made.count, 1)[0]
    assert made.adapter(flat, Provenance()).energy == 1.0
    assert 0.3 < made.adapter(flat, Provenance(), rank=1).energy < 1.0


def test_a_token_is_taken_off_and_put_back(base: Base) -> None:
    made = output(base, WITH_TOKEN)
    adapter = made.adapter(numbers(made.count, 1)[0], Provenance()).adapter
    weights, token = without_token(adapter)
    assert token is not None
    assert (weights.method.name, token.method.name) == ("lora", "textual-inversion")
    again = with_token(weights, token)
    assert again.space == adapter.space
    assert all(torch.equal(a, again.named_parameters()[name]) for name, a in adapter.named_parameters().items())
    assert without_token(weights) == (weights, None)
