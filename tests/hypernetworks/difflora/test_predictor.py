"""From a photo to LoRAs: seeds, steps, guidance, ranks."""

from pathlib import Path

import pytest
import torch
from painted_set import paint

from portraitist.adapters import Adapter, attached
from portraitist.bases import Base
from portraitist.hypernetworks.networks.contract import Wish
from portraitist.hypernetworks.predicting import Seer
from portraitist.hypernetworks.saved import load_hypernetwork


@pytest.fixture(scope="module")
def seer(difflora_folder: Path, base: Base) -> Seer:
    """Return the tiny network, made to listen to noise and photos."""
    loaded = load_hypernetwork(str(difflora_folder))
    generator = torch.Generator().manual_seed(0)
    for parameter in loaded.predictor.generator.parameters():  # type: ignore[union-attr]
        parameter.data.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    return Seer(loaded, base)


def numbers(adapter: Adapter) -> torch.Tensor:
    return adapter.space.flatten(adapter.values)


def test_a_photo_becomes_an_ordinary_lora(seer: Seer, base: Base) -> None:
    prediction = seer.predict([paint(0, 0, 32)], "cat", seed=3, sampling_steps=2)
    adapter = prediction.adapter
    assert (adapter.method.name, adapter.config.rank) == ("lora", 2)  # type: ignore[attr-defined]
    facts = adapter.provenance.facts["hypernetwork"]
    assert (facts["method"], facts["seed"], facts["sampling_steps"]) == ("difflora", 3, 2)
    with torch.no_grad(), attached(base.components, adapter):
        assert base.family.encode_prompts(["a sks cat"])["encoder_hidden_states"].isfinite().all()
    assert seer.predict([paint(0, 0, 32)], "cat", rank=1).adapter.config.rank == 1  # type: ignore[attr-defined]


def test_seeds_and_photos_make_different_loras(seer: Seer) -> None:
    first = numbers(seer.predict([paint(0, 0, 32)], "cat", seed=1).adapter)
    torch.testing.assert_close(numbers(seer.predict([paint(0, 0, 32)], "cat", seed=1).adapter), first)
    assert not torch.allclose(numbers(seer.predict([paint(0, 0, 32)], "cat", seed=2).adapter), first)
    assert not torch.allclose(numbers(seer.predict([paint(1, 0, 32)], "cat", seed=1).adapter), first)


def test_guidance_of_nothing_is_nobody(seer: Seer) -> None:
    predictor = seer.hypernetwork.predictor
    seen = {name: values.unsqueeze(0) for name, values in seer.sight.see([paint(0, 0, 32)]).items()}
    other = {name: values.unsqueeze(0) for name, values in seer.sight.see([paint(1, 0, 32)]).items()}
    first, second = (predictor.predict(each, Wish(guidance=0.0)) for each in (seen, other))
    torch.testing.assert_close(first, second)
    assert not torch.allclose(predictor.predict(seen, Wish(guidance=2.0)), predictor.predict(seen, Wish()))
