"""The factor A that targets share when it is learnt first."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from target_banks import bank_work, noise_photos
from torch import Tensor

from portraitist.adapters.banks import load_bank, unstack
from portraitist.bases import Base, load_base
from portraitist.errors import BadConfig, BadFile
from portraitist.hypernetworks.identities.making import Made, make_set
from portraitist.hypernetworks.identities.settings import SetSettings, TargetSettings
from portraitist.hypernetworks.identities.shards import TARGETS, shard_path
from portraitist.hypernetworks.identities.shared_factor import (
    FILE,
    SharedFactorTask,
    check_factor,
    factor_hash,
    learn_factor,
    read_factor,
    write_factor,
)
from portraitist.hypernetworks.identities.sources.drawn import DrawnSource
from portraitist.hypernetworks.identities.sources.source import Words
from portraitist.hypernetworks.identities.targets import target_recipe, train_bank
from portraitist.training.inputs.latents import autoencoder_key
from portraitist.training.recipes import Recipe

RECIPE = {"method_config": {"rank": 2}, "layers": "attention", "batch_size": 1, "learning_rate": 0.01}
COUNT, STEPS = 3, 3


@pytest.fixture(scope="module")
def base(tiny_base_folder: Path) -> Base:
    return load_base(tiny_base_folder)


@pytest.fixture(scope="module")
def recipe(base: Base) -> Recipe:
    return target_recipe(base, "lora", 2, RECIPE, seed=0)


def make(
    base: Base, recipe: Recipe, folder: Path, given: dict[str, Tensor] | None = None, minutes: float | None = None
) -> Made:
    whence = {"learned_a": STEPS} if given is None else {"given_a": factor_hash(given)}
    target = TargetSettings(recipe=recipe.model_dump(mode="json"), bank_size=2, frozen_a=True, **whence)  # type: ignore[arg-type]
    settings = SetSettings(
        source="toyland:people",
        kinds=("person",),
        split="train",
        count=COUNT,
        photos=2,
        token="sks",
        seed=0,
        resolution=32,
        base=base.name,
        fingerprint=base.fingerprint,
        precision=base.precision,
        autoencoder=autoencoder_key(base),
        target=target,
        shard_size=2,
    )
    source = DrawnSource(("person",), COUNT, "train", 2, 32, Words("a photo of a {}", "sks"), seed=0)
    return make_set(folder, settings, source, base, factor=given, minutes=minutes)


@pytest.fixture(scope="module")
def whole(base: Base, recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sets") / "people"
    assert make(base, recipe, folder).finished
    return folder


def test_all_targets_of_all_banks_have_it_as_it_was_learnt(whole: Path) -> None:
    factors = read_factor(whole)
    targets = [each for bank in (0, 1) for each in unstack(load_bank(shard_path(whole, TARGETS, bank)))]
    assert len(targets) == COUNT
    for target in targets:
        assert set(target.values) == set(factors)
        for layer, params in target.values.items():
            torch.testing.assert_close(params["down"], factors[layer])
    ups = [torch.cat([params["up"].flatten() for params in target.values.values()]) for target in targets]
    assert not torch.equal(ups[0], ups[1])


def test_one_that_is_there_is_not_learnt_again(base: Base, recipe: Recipe, whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "people"
    shutil.copytree(whole, folder)
    shard_path(folder, TARGETS, 1).unlink()
    factors = read_factor(folder)
    changed = {layer: 2 * factor for layer, factor in factors.items()}
    write_factor(folder, changed)
    make(base, recipe, folder)
    (target,) = unstack(load_bank(shard_path(folder, TARGETS, 1)))
    for layer, factor in changed.items():
        torch.testing.assert_close(target.values[layer]["down"], factor)


def test_a_run_that_ends_before_its_teachers_are_there_learns_nothing(
    base: Base, recipe: Recipe, tmp_path: Path
) -> None:
    made = make(base, recipe, tmp_path / "people", minutes=1e-9)
    assert not made.finished
    with pytest.raises(BadFile, match="has no learned factor A"):
        read_factor(tmp_path / "people")


def test_another_sets_is_taken_over(base: Base, recipe: Recipe, whole: Path, tmp_path: Path) -> None:
    given = {layer: 3 * factor for layer, factor in read_factor(whole).items()}
    make(base, recipe, tmp_path / "people", given)
    (target, _) = unstack(load_bank(shard_path(tmp_path / "people", TARGETS, 0)))
    for layer, factor in given.items():
        torch.testing.assert_close(target.values[layer]["down"], factor)
    with pytest.raises(BadConfig, match="holds a set made with target"):
        make(base, recipe, tmp_path / "people", read_factor(whole))
    check_factor(given, base, recipe)
    with pytest.raises(BadConfig, match="of other layers or of another rank"):
        check_factor(given, base, recipe.replace({"method_config": {"rank": 3}}))


def test_a_damaged_one_is_named(base: Base, recipe: Recipe, whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "people"
    shutil.copytree(whole, folder)
    (folder / FILE).write_bytes(b"\x10\0\0\0\0\0\0\0{")
    shard_path(folder, TARGETS, 1).unlink()
    with pytest.raises(BadFile, match=r"factor-a\.safetensors is damaged"):
        make(base, recipe, folder)


def test_it_is_one_for_all_whatever_their_gradients_and_moves_where_their_mean_points(base: Base) -> None:
    latents = [noise_photos(1), noise_photos(2), replace(noise_photos(3), mean=50 * noise_photos(3).mean)]
    learnt = learn_factor(base, target_recipe(base, "lora", 1, RECIPE, seed=4), latents, 5)
    task = SharedFactorTask(base, target_recipe(base, "lora", 1, RECIPE, seed=4), latents)
    start = task.factors()
    assert any(not torch.equal(learnt[layer], start[layer]) for layer in start)
    for params in task.bank.values.values():
        params["up"].data.normal_(generator=torch.Generator().manual_seed(0))
        (params["down"] * torch.tensor([1.0, 2.0, 6.0])[:, None, None]).sum().backward()
        assert params["down"].grad is not None
        torch.testing.assert_close(params["down"].grad, torch.full_like(params["down"].grad, 3.0))
        params["down"].data[2] += 3.0
    task.after_step()
    for layer, factor in task.factors().items():
        torch.testing.assert_close(factor, start[layer] + 1.0)


def test_a_bank_starts_from_the_factor_that_it_is_given(base: Base, tmp_path: Path) -> None:
    work = bank_work(base, [noise_photos(1)], "lora", frozen_a=True)
    factors = learn_factor(base, Recipe.model_validate(work.recipe), [noise_photos(1), noise_photos(2)], 2)
    file = tmp_path / "bank.safetensors"
    file.write_bytes(train_bank(replace(work, factor=factors), base))
    (target,) = unstack(load_bank(file))
    for layer, params in target.values.items():
        torch.testing.assert_close(params["down"], factors[layer])
