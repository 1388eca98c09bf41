"""Rank-relaxed fine-tuning: exactly the sum, learning from the first step, everything left as found."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from painted_set import paint

from portraitist.adapters import Adapter, Attachment, Space, to_lora
from portraitist.bases import Base
from portraitist.hypernetworks.refining import refine
from portraitist.hypernetworks.settings import RefinementSettings
from portraitist.training.subjects import Subject

SETTINGS = RefinementSettings(rank=2, batch_size=2, learning_rate=1e-2)
LAYERS = ("unet.*.to_q", "unet.*.to_v", "text_encoder.*.q_proj")


@pytest.fixture
def subject() -> Subject:
    return Subject("red", "cat", "sks", (paint(0, 0, 32),), (Path("red.png"),))


@pytest.mark.parametrize(("method", "config", "rank"), [("lidb", {"a": 6, "b": 4}, 3), ("lora", {"rank": 3}, 5)])
def test_a_prediction_and_what_is_learnt_are_one_lora(
    method: str,
    config: dict[str, int],
    rank: int,
    base: Base,
    subject: Subject,
    draw_adapter: Callable[..., Adapter],
) -> None:
    prediction = draw_adapter(base.components, method, LAYERS, **config)
    before = {name: value.clone() for name, value in prediction.named_parameters().items()}
    refined = refine(base, prediction, subject, SETTINGS, steps=2)
    assert (refined.method.name, refined.config.rank) == ("lora", rank)  # type: ignore[attr-defined]
    assert refined.layers.keys() == prediction.layers.keys()
    assert all(torch.equal(value, before[name]) for name, value in prediction.named_parameters().items())
    assert not any("forward" in vars(module) for module in base.family.denoiser.modules())
    exact = to_lora(prediction).adapter
    kept = exact.config.rank  # type: ignore[attr-defined]
    for name, layer in exact.layers.items():
        both, own = refined.values[name], exact.values[name]
        torch.testing.assert_close(both["up"][:, :kept] @ both["down"][:kept], layer.delta_weight(own))
        assert float((both["up"][:, kept:] @ both["down"][kept:]).abs().max()) > 0, "it has learnt from its first step"
    assert refined.provenance.facts["refinement"]["steps"] == 2


def test_the_refined_adapter_does_what_both_did(
    base: Base, subject: Subject, draw_adapter: Callable[..., Adapter]
) -> None:
    prediction = draw_adapter(base.components, "lidb", LAYERS, a=6, b=4)
    refined = refine(base, prediction, subject, SETTINGS, steps=1)
    prompt = ["a photo of a sks cat"]

    def states(*adapters: Adapter) -> torch.Tensor:
        attachment = Attachment(base.components)
        for number, adapter in enumerate(adapters):
            attachment.attach(adapter, str(number))
        with torch.no_grad():
            found = base.family.encode_prompts(prompt)["encoder_hidden_states"]
        attachment.detach()
        return found

    learnt = {name: {"up": values["up"][:, 1:], "down": values["down"][1:]} for name, values in refined.values.items()}
    beside = Adapter(Space.of("lora", {"rank": 2}, refined.space.specs.values()), learnt)
    torch.testing.assert_close(states(refined), states(prediction, beside), atol=1e-5, rtol=1e-4)
    assert not torch.allclose(states(refined), states(prediction), atol=1e-6)
