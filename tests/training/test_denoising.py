"""What denoising tasks share: losses by a few settings, learning rates by kind, one prediction that gradients pass."""

from dataclasses import dataclass

import pytest
import torch

from portraitist.adapters import Adapter, attached, find_layers
from portraitist.bases import Base
from portraitist.bases.families import Framing
from portraitist.randomness import torch_generator
from portraitist.training.denoising import adapter_groups, denoising_errors, draw_noise, loss_weights, trains_text


@dataclass(frozen=True)
class Settings:
    """Settings of a task that has no recipe."""

    noise_offset: float = 0.0
    min_snr_gamma: float | None = None
    learning_rate: float = 1e-3
    text_learning_rate: float | None = None
    norm_learning_rate: float | None = None
    weight_decay: float = 0.1


LATENTS = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(0))
FRAMINGS = [Framing.whole(32, 32)] * 3


def make_adapter(base: Base, method: str, *patterns: str) -> Adapter:
    return Adapter.create(method, {}, find_layers(base.components, patterns), torch.Generator().manual_seed(1))


@pytest.mark.parametrize("settings", [Settings(), Settings(noise_offset=0.3), Settings(min_snr_gamma=2.0)])
def test_errors_are_those_of_the_formula(base: Base, settings: Settings) -> None:
    family = base.family
    conditions = family.encode_prompts(["a cat"] * 3)
    with torch.no_grad():
        errors = denoising_errors(base, settings, LATENTS, FRAMINGS, conditions, torch_generator(0, "noise"))
        noise, timesteps = draw_noise(base, settings, LATENTS, torch_generator(0, "noise"))
        found = family.predict(family.add_noise(LATENTS, noise, timesteps), timesteps, conditions)
    wanted = (found - family.target(LATENTS, noise, timesteps)).square().mean((1, 2, 3))
    torch.testing.assert_close(errors, wanted * loss_weights(base, settings, timesteps))
    assert (loss_weights(base, settings, timesteps) != 1).any() == (settings.min_snr_gamma is not None)


def test_rows_and_weights_pick_what_counts(base: Base) -> None:
    conditions, settings = base.family.encode_prompts(["a cat"] * 3), Settings()
    with torch.no_grad():
        everything = denoising_errors(base, settings, LATENTS, FRAMINGS, conditions, torch_generator(0, "noise"))
        last = denoising_errors(
            base,
            settings,
            LATENTS,
            FRAMINGS[:1],
            {name: value[:1] for name, value in conditions.items()},
            torch_generator(0, "noise"),
            rows=torch.tensor([2]),
            weights=torch.full((3, 1, 8, 8), 2.0),
        )
    torch.testing.assert_close(last, 2 * everything[2:])


def test_gradients_reach_an_adapter(base: Base) -> None:
    adapter = make_adapter(base, "full", "unet.conv_out")
    with attached(base.components, adapter):
        conditions = base.family.encode_prompts(["a cat"] * 3)
        errors = denoising_errors(base, Settings(), LATENTS, FRAMINGS, conditions, torch_generator(0, "noise"))
        errors.mean().backward()
    assert all(value.grad is not None and value.grad.abs().sum() > 0 for value in adapter.named_parameters().values())


def test_every_kind_of_parameter_has_its_rate(base: Base) -> None:
    adapter = make_adapter(base, "svdiff", "unet.*norm*", "unet.conv_out", "text_encoder.*q_proj")
    plain = adapter_groups(base, adapter, Settings())
    assert [(group.learning_rate, group.weight_decay) for group in plain] == [(1e-3, 0.1)]
    assert plain[0].parameters.keys() == adapter.named_parameters().keys()
    groups = adapter_groups(base, adapter, Settings(text_learning_rate=1e-5, norm_learning_rate=1e-4))
    by_rate = {group.learning_rate: set(group.parameters) for group in groups}
    assert by_rate[1e-5] == {name for name in adapter.named_parameters() if name.startswith("text_encoder")}
    assert {name.rpartition(".")[0] for name in by_rate[1e-3]} == {"unet.conv_out"}
    assert trains_text(base, adapter)
    assert not trains_text(base, make_adapter(base, "lora", "unet.conv_out"))
