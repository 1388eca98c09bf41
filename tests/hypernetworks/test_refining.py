"""Rank-relaxed fine-tuning: exactly the sum, learning from the first step, everything left as found."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from painted_set import paint

from portraitist.adapters import Adapter, Attachment, Space, find_layers, to_lora
from portraitist.adapters.provenance import Provenance
from portraitist.adapters.spec import Kind
from portraitist.bases import Base
from portraitist.hypernetworks.networks.contract import Predicted
from portraitist.hypernetworks.networks.outputs import Output
from portraitist.hypernetworks.refining import refine
from portraitist.hypernetworks.settings import OutputSettings, RefinementSettings
from portraitist.training.blank_adapters import resolve_layers
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
    refined = refine(base, Predicted(prediction, prediction), subject, SETTINGS, steps=2)
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
    refined = refine(base, Predicted(prediction, prediction), subject, SETTINGS, steps=1)
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


@pytest.mark.parametrize("token", [False, True])
def test_coefficients_are_trained_in_their_subspace(
    token: bool, base: Base, subject: Subject, draw_adapter: Callable[..., Adapter]
) -> None:
    specs = [*draw_adapter(base.components, "lora", LAYERS, rank=1).space.specs.values()]
    specs += find_layers(base.components, resolve_layers(base, "token-embedding"))[:1]
    torch.manual_seed(0)
    settings = OutputSettings(space="subspace", config={"changes": 3}, layers="attention", token=token)
    output = Output(settings, specs, base.family.token_ids("sks") if token else ())
    numbers = 0.1 * torch.randn(output.count)
    predicted = output.adapter(numbers, Provenance({"trigger": "sks cat"}))
    shared = {name: value.clone() for name, value in output.state_dict().items()}
    refined = refine(base, predicted, subject, SETTINGS.model_copy(update={"trains": "numbers"}), steps=2)
    assert refined.method.name == predicted.adapter.method.name
    assert refined.named_parameters().keys() == predicted.adapter.named_parameters().keys()
    assert refined.provenance.trigger == "sks cat"
    assert refined.provenance.facts["refinement"]["trains"] == "numbers"
    assert all(torch.equal(value, shared[name]) for name, value in output.state_dict().items())
    for name, spec in refined.space.specs.items():
        before, after = predicted.adapter.values[name], refined.values[name]
        if spec.kind is Kind.EMBEDDING:
            assert all(torch.equal(after[key], before[key]) for key in before), "the word stays as it was predicted"
        else:
            assert torch.equal(after["down"], before["down"])
            scales = after["up"] / before["up"]
            torch.testing.assert_close(scales, scales[:1].expand_as(scales), rtol=1e-3, atol=1e-3)
            assert not torch.allclose(scales, torch.ones(()), atol=1e-4), "it has learnt from its first step"
    assert not any("forward" in vars(module) for module in base.family.denoiser.modules())


def test_numbers_of_lidb_stay_lidb(base: Base, subject: Subject, draw_adapter: Callable[..., Adapter]) -> None:
    prediction = draw_adapter(base.components, "lidb", LAYERS, a=6, b=4)
    before = {name: value.clone() for name, value in prediction.named_parameters().items()}
    numbers = SETTINGS.model_copy(update={"trains": "numbers"})
    refined = refine(base, Predicted(prediction, prediction), subject, numbers, steps=1)
    assert refined.space == prediction.space
    assert not torch.equal(refined.named_parameters()[next(iter(before))], before[next(iter(before))])
    assert all(torch.equal(value, before[name]) for name, value in prediction.named_parameters().items())


def test_a_least_rank_is_of_a_lora_beside_the_prediction() -> None:
    with pytest.raises(ValueError, match="needs trains=beside"):
        RefinementSettings(trains="numbers", learning_rate=1e-2, least_rank=1)
