"""Targets: trained in banks as they would be alone, and judged."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from target_banks import bank_work, noise_photos

from portraitist.adapters import Adapter
from portraitist.adapters.banks import load_bank, read_index, unstack
from portraitist.bases import Base, load_base
from portraitist.errors import BadConfig
from portraitist.hypernetworks.identities.targets import BankWork, check_method, target_recipe, train_bank


@pytest.fixture(scope="module")
def base(tiny_base_folder: Path) -> Base:
    return load_base(tiny_base_folder)


def trained(base: Base, todo: BankWork, folder: Path) -> tuple[list[Adapter], Path]:
    file = folder / "bank.safetensors"
    file.write_bytes(train_bank(todo, base))
    return unstack(load_bank(file)), file


@pytest.mark.parametrize("method", ["lidb", "lora"])
def test_a_bank_trains_as_its_adapters_would_alone(base: Base, tmp_path: Path, method: str) -> None:
    latents = [noise_photos(1), noise_photos(2, count=5), noise_photos(3)]
    together, _ = trained(base, bank_work(base, latents, method), tmp_path)
    for bank, own in zip(together, latents, strict=True):
        (alone,), _ = trained(base, bank_work(base, [own], method), tmp_path)
        one, other = (each.space.flatten(each.values) for each in (bank, alone))
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
    flat = [adapter.space.flatten(adapter.values) for adapter in together]
    assert float((flat[0] - flat[1]).detach().abs().max()) > 0.01, "they are different people's"


def test_targets_of_the_same_photos_are_the_same(base: Base, tmp_path: Path) -> None:
    (first, second), _ = trained(base, bank_work(base, [noise_photos(1), noise_photos(1)]), tmp_path)
    torch.testing.assert_close(first.space.flatten(first.values), second.space.flatten(second.values))


def test_a_bank_says_whose_its_adapters_are_and_how_well_they_fit(base: Base, tmp_path: Path) -> None:
    _, file = trained(base, bank_work(base, [noise_photos(1), noise_photos(2)], steps=30, rate=1.0), tmp_path)
    known = read_index(file)
    assert [each.subjects[0].name for each in known] == ["person-0", "person-1"]
    for each in known:
        assert each.trigger == "sks person"
        assert each.base is not None
        assert each.base.fingerprint == base.fingerprint
        assert each.training["steps"] == 30
        assert each.training["loss"] < each.training["base_loss"]
        assert not each.training["diverged"]
    assert known[0].training["base_loss"] != known[1].training["base_loss"]


def test_one_that_diverges_is_named_and_leaves_the_others_alone(base: Base, tmp_path: Path) -> None:
    poisoned = replace(noise_photos(2), mean=torch.full_like(noise_photos(2).mean, torch.nan))
    (first, second), file = trained(base, bank_work(base, [noise_photos(1), poisoned]), tmp_path)
    assert [each.training["diverged"] for each in read_index(file)] == [False, True]
    (alone,), _ = trained(base, bank_work(base, [noise_photos(1)]), tmp_path)
    torch.testing.assert_close(
        first.space.flatten(first.values), alone.space.flatten(alone.values), rtol=1e-3, atol=1e-5
    )
    assert bool(torch.cat([second.values[layer]["b"].flatten() for layer in second.values]).eq(0).all())
    (only,), file = trained(base, bank_work(base, [poisoned]), tmp_path)
    assert read_index(file)[0].training["diverged"]
    assert bool(only.space.flatten(only.values).isfinite().all())


def test_the_base_is_left_as_found_and_another_one_is_refused(base: Base) -> None:
    before = {name: value.clone() for name, value in base.family.denoiser.state_dict().items()}
    train_bank(bank_work(base, [noise_photos(1)], steps=1), base)
    for name, value in base.family.denoiser.state_dict().items():
        assert torch.equal(value, before[name]), name
    with pytest.raises(BadConfig, match=r"has the fingerprint .* here, not the set's abc"):
        train_bank(replace(bank_work(base, [noise_photos(1)]), fingerprint="abc"), base)


def test_recipes_have_no_prior_and_other_methods_are_refused(base: Base) -> None:
    recipe = target_recipe(base, "lidb", None, {"prior": "generated"}, seed=0)
    assert (recipe.prior, recipe.mirror, recipe.watch.every) == ("none", False, 0)
    with pytest.raises(BadConfig, match="targets can be lidb or lora, or none, not 'svdiff'"):
        target_recipe(base, "svdiff", None, {}, seed=0)


def test_the_random_factor_of_loras_can_stay_as_it_started(base: Base, tmp_path: Path) -> None:
    work = bank_work(base, [noise_photos(1), noise_photos(2)], "lora", frozen_a=True)
    first, second = trained(base, work, tmp_path)[0]
    for layer in first.values:
        assert torch.equal(first.values[layer]["down"], second.values[layer]["down"])
    assert any(not torch.equal(first.values[layer]["up"], second.values[layer]["up"]) for layer in first.values)
    (free,), _ = trained(
        base,
        replace(
            work, frozen_a=False, keys=("a",), class_nouns=("person",), prompts=("a person",), latents=work.latents[:1]
        ),
        tmp_path,
    )
    assert any(not torch.equal(free.values[layer]["down"], first.values[layer]["down"]) for layer in first.values)


def test_only_loras_have_a_random_factor() -> None:
    with pytest.raises(BadConfig, match="--frozen-a, --learned-a and --a-of are about the factor A"):
        check_method("lidb", frozen_a=True)
