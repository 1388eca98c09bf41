"""Rank by timestep: noise takes rank away from what is taught, text keeps it, and all is there afterwards."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from painted_set import paint

from portraitist.adapters import Adapter, Attachment
from portraitist.bases import Base
from portraitist.errors import BadConfig
from portraitist.hypernetworks.ranks import RankByTimestep, ranks_at
from portraitist.hypernetworks.refining import refine
from portraitist.hypernetworks.settings import RefinementSettings
from portraitist.training.assembling import dreambooth_task
from portraitist.training.recipes import load_recipe
from portraitist.training.subjects import Subject

LAYERS = ("unet.*.to_q", "text_encoder.*.q_proj")
SUBJECT = Subject("red", "cat", "sks", (paint(0, 0, 32),), (Path("red.png"),))


def test_rank_falls_with_noise_as_in_the_paper() -> None:
    found = ranks_at(torch.tensor([0, 249, 250, 500, 999]), 1000, 4, 1)
    assert found.tolist() == [4, 3, 3, 2, 1]
    assert ranks_at(torch.tensor([999]), 1000, 4, 0).tolist() == [0]


def test_the_noisiest_samples_teach_the_first_directions_alone(
    base: Base, draw_adapter: Callable[..., Adapter]
) -> None:
    recipe = load_recipe("lora", base.name, base.family.name, None, {"prior": "none", "batch_size": 2})
    adapter = draw_adapter(base.components, "lora", LAYERS, rank=4)
    for parameter in adapter.named_parameters().values():
        parameter.requires_grad_(True)
    task = RankByTimestep(base, adapter, dreambooth_task(base, adapter, SUBJECT, recipe), 1)
    attachment = Attachment(base.components).attach(adapter)
    try:
        task.attached(attachment)
        base_draws = base.family.draw_timesteps
        base.family.draw_timesteps = lambda count, *_: torch.full((count,), 999)  # type: ignore[method-assign]
        try:
            task.step(0, 0)["loss"].backward()
        finally:
            base.family.draw_timesteps = base_draws  # type: ignore[method-assign]
        taught = {
            name: value.grad.abs().amax(-1)
            for name, value in adapter.named_parameters().items()
            if name.endswith("down")
        }  # type: ignore[union-attr]
        unet = next(grad for name, grad in taught.items() if name.startswith("unet"))
        text = next(grad for name, grad in taught.items() if name.startswith("text"))
        assert unet[0] > 0
        assert float(unet[1:].max()) == 0.0
        assert (text > 0).all()
        task.after_step()
        assert task.identity()["least_rank"] == 1
    finally:
        attachment.detach()


def test_refinement_has_all_ranks_at_all_timesteps_unless_told(
    base: Base, draw_adapter: Callable[..., Adapter]
) -> None:
    settings = RefinementSettings(rank=3, batch_size=2, learning_rate=1e-2)
    prediction = draw_adapter(base.components, "lora", LAYERS, rank=2)
    plain, ranked = (
        refine(base, prediction, SUBJECT, each, steps=2)
        for each in (settings, settings.model_copy(update={"least_rank": 1}))
    )
    assert settings.least_rank is None
    assert plain.space == ranked.space
    assert ranked.provenance.facts["refinement"]["least_rank"] == 1
    name = next(name for name in plain.values if name.startswith("unet"))
    assert not torch.equal(plain.values[name]["up"], ranked.values[name]["up"])
    assert not any("forward" in vars(module) for module in base.family.denoiser.modules())


def test_the_least_rank_is_less_than_the_rank() -> None:
    with pytest.raises((BadConfig, ValueError), match="must be less than rank=2"):
        RefinementSettings(rank=2, learning_rate=1e-2, least_rank=2)
