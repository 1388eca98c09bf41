"""What is minimised: through the bank, on other photos, with every layer learning from the first step."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from painted_set import paint_set
from small_hypernetworks import small_recipe

from portraitist.adapters import Space
from portraitist.bases import Base
from portraitist.errors import BadConfig
from portraitist.hypernetworks.identities.identity_set import IdentitySet
from portraitist.hypernetworks.making import PredictorWorkshop, build_predictor
from portraitist.hypernetworks.material import Draw, Material
from portraitist.hypernetworks.settings import HypernetworkRecipe
from portraitist.hypernetworks.sight import Sight
from portraitist.hypernetworks.task import HypernetworkTask
from portraitist.training.loop.loop import Loop, LoopConfig
from portraitist.training.networks.machine import Machine


def open_task(base: Base, identities: IdentitySet, recipe: HypernetworkRecipe, folder: Path) -> HypernetworkTask:
    workshop = PredictorWorkshop(folder, "test", recipe, identities, base, Machine())
    sight = Sight.load(recipe.sight, base, "cpu")
    material = Material.gather(identities, sight, folder)
    torch.manual_seed(0)
    predictor = build_predictor(workshop.describe(sight, material))
    return HypernetworkTask(base, predictor, material, recipe, Machine())


@pytest.mark.parametrize("name", ["portraitist", "paper"])
def test_every_layer_learns_from_the_first_step(name: str, base: Base, painted: IdentitySet, tmp_path: Path) -> None:
    task = open_task(base, painted, small_recipe(name, losses={"weights": 0.0, "numbers": 0.0}), tmp_path)
    try:
        task.step(0, 0)["loss"].backward()
    finally:
        task.close()
    heads = task.predictor.network.heads.weight.grad
    assert heads is not None
    assert (heads.abs().amax((1, 2)) > 0).all(), "each layer's head"
    changes = task.predictor.output.changes
    if changes is not None:
        for parameter in (*changes.ups, *changes.downs):
            assert parameter.grad is not None
            assert float(parameter.grad.abs().max()) > 0
    assert all(not parameter.requires_grad for parameter in base.family.denoiser.parameters())


def test_steps_are_the_same_in_every_run(base: Base, painted: IdentitySet, tmp_path: Path) -> None:
    losses = []
    for _ in range(2):
        task = open_task(base, painted, small_recipe(), tmp_path)
        losses.append([float(task.step(step, 0)["loss"]) for step in (3, 4)])
        task.close()
    assert losses[0] == losses[1]
    assert losses[0][0] != losses[0][1]


def test_all_losses_are_summed_with_their_weights(base: Base, tmp_path: Path, painted: IdentitySet) -> None:
    plain = open_task(base, painted, small_recipe("paper", losses={"weights": 0.0}), tmp_path / "plain")
    space = plain.predictor.output.weights
    plain.close()
    identities = paint_set(tmp_path / "set", base, targets=space)
    weighted = small_recipe("paper", losses={"diffusion": 0.5, "weights": 2.0, "numbers": 3.0})
    task = open_task(base, identities, weighted, tmp_path / "weighted")
    found = task.step(0, 0)
    task.close()
    total = 0.5 * found["diffusion"] + 2 * found["weights"] + 3 * found["numbers"]
    torch.testing.assert_close(found["loss"], total)
    assert float(found["weights"]) > 0


def test_captions_are_what_the_base_makes_of_them(
    base: Base, painted: IdentitySet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An adapter of zeros is right if captions mean the same as prompts, and wrong if they mean something else."""
    task = open_task(base, painted, small_recipe(losses={"captions": 1.0, "unknown": 0.0}), tmp_path)
    torch.nn.init.zeros_(task.predictor.network.heads.weight)
    try:
        asked, found = task.step(0, 0), {}
        for ending in (" ", ""):  # the first is no other prompt, but another caption

            def captions(draws: Sequence[Draw], ending: str = ending) -> list[str]:
                return [prompt + ending for prompt in painted.prompts([draw.target for draw in draws])]

            monkeypatch.setattr(task, "_captions", captions)
            found[ending] = task.step(0, 0)
        same, said = found.values()
        same["loss"].backward()
    finally:
        task.close()
    assert float(asked["captions"]) > 1e-5
    assert float(same["captions"]) < 1e-9
    assert float(said["captions"]) == 0, "a caption that says no more than the prompt"
    torch.testing.assert_close(asked["diffusion"], same["diffusion"])
    assert task.predictor.network.heads.weight.grad is not None, "the adapters are on again"


def test_targets_must_be_there_and_of_the_predicted_space(base: Base, painted: IdentitySet, tmp_path: Path) -> None:
    recipe = small_recipe("paper")
    with pytest.raises(BadConfig, match="has no target adapter"):
        open_task(base, painted, recipe, tmp_path / "without")
    other = open_task(base, painted, small_recipe(), tmp_path / "other")
    other.close()
    layers = other.predictor.output.weights.specs.values()
    others = paint_set(tmp_path / "set", base, targets=Space.of("lidb", {"a": 5, "b": 4}, layers))
    with pytest.raises(BadConfig, match="must be the same"):
        open_task(base, others, recipe, tmp_path / "wrong")


def test_timesteps_keep_to_their_part_of_the_noise(base: Base, painted: IdentitySet, tmp_path: Path) -> None:
    task = open_task(base, painted, small_recipe(losses={"noise": (0.5, 0.75)}), tmp_path)
    task.close()
    drawn = torch.cat([task.draw_timesteps(40, torch.Generator().manual_seed(seed)) for seed in range(10)])
    assert drawn.float().quantile(0.05) > 450
    assert drawn.float().quantile(0.95) < 800


def test_targets_are_learnt(base: Base, painted: IdentitySet, tmp_path: Path) -> None:
    sections = {"losses": {"diffusion": 0.0, "weights": 1.0}, "training": {"learning_rate": 1e-2}}
    plain = open_task(base, painted, small_recipe("paper", losses={"weights": 0.0}), tmp_path / "plain")
    plain.close()
    identities = paint_set(tmp_path / "set", base, targets=plain.predictor.output.weights)
    task = open_task(base, identities, small_recipe("paper", **sections), tmp_path / "task")
    try:
        task.predictor.network.memory.fit(task.material.features([range(12)]))
        outcome = Loop(task, LoopConfig(steps=40, log_every=1)).run()
    finally:
        task.close()
    assert outcome.history[-1]["weights"] < 0.8 * outcome.history[0]["weights"]
