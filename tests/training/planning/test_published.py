"""Footprints that ship are those that are counted, and every method's recipe on a published architecture has one."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from portraitist.adapters import list_methods
from portraitist.errors import BadConfig
from portraitist.training.planning import published
from portraitist.training.planning.architectures import read_architecture
from portraitist.training.planning.planning import count_run, make_plan
from portraitist.training.planning.published import ARCHITECTURES, FILE, PRECISION, RANKS, published_footprint
from portraitist.training.recipes import load_recipe


@pytest.mark.parametrize("method", [method.name for method in list_methods()])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_recipe_has_one(name: str, method: str) -> None:
    """Where a recipe or a layer was changed, ``make listing`` writes the file anew."""
    architecture = read_architecture(name)
    assert architecture is not None
    recipe = load_recipe(method, name, architecture.family)
    found = published_footprint(name, PRECISION, recipe)
    assert found is not None
    assert found.batch_size == recipe.batch_size
    for component, numbers in architecture.parameters.items():
        # Beside its parameters a component has a few buffers, such as positions.
        assert found.weights[component] == pytest.approx(2 * numbers, rel=1e-3)
    assert 0 < found.checkpointed < found.plain


def test_what_ships_is_what_is_counted() -> None:
    """Where they differ, ``make listing`` writes the file anew."""
    method = "lora"
    recipe, adapter, counted = count_run("sd15", method, {}, PRECISION)
    shipped = published_footprint("sd15", PRECISION, recipe)
    assert shipped is not None
    same = {field: getattr(counted, field) for field in ("plain", "checkpointed", "kept", "encoding", "decoding")}
    for field, value in same.items():
        assert getattr(shipped, field) == pytest.approx(value, rel=0.02), field
    rest = {field: 0 for field in same}
    assert replace(shipped, staying=list(shipped.staying), **rest) == replace(
        counted, staying=list(counted.staying), weights=dict(counted.weights), **rest
    )
    plan = make_plan("sd15", method, {}, 5, dtype=PRECISION)
    assert (plan.parameters, plan.layers, plan.resolution) == (adapter.count(), len(adapter.layers), 512)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_rank_that_was_counted_is_worked_out_of_others(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    architecture, entries = read_architecture(name), json.loads(FILE.read_text())
    assert architecture is not None
    for rank in RANKS["lora"][2:-2]:
        recipe = load_recipe("lora", name, architecture.family, overrides={"method_config": {"rank": rank}})
        counted = published_footprint(name, PRECISION, recipe)
        others = json.dumps([each for each in entries if each["recipe"]["method_config"] != recipe.method_config])
        with monkeypatch.context() as patch:
            patch.setattr(published, "FILE", SimpleNamespace(read_text=lambda text=others: text))
            found = published_footprint(name, PRECISION, recipe)
        assert counted is not None
        assert found is not None
        assert found == counted


def test_a_rank_that_was_not_counted_is_worked_out() -> None:
    recipe, _, counted = count_run("sd15", "lora", {"method_config": {"rank": 24, "alpha": 12.0}}, PRECISION)
    found = published_footprint("sd15", PRECISION, recipe)
    assert found is not None
    assert (found.plain, found.checkpointed, found.kept) == (counted.plain, counted.checkpointed, counted.kept)


def test_a_resolution_is_worked_out() -> None:
    found = make_plan("sd15", "lora", {}, 5, dtype=PRECISION, resolution=768)
    _, _, counted = count_run("sd15", "lora", {}, PRECISION, 768)
    assert found.resolution == 768
    assert found.memory.activations == pytest.approx(counted.plain, rel=0.02)
    assert found.memory.encoding == pytest.approx(counted.memory(found.trained, found.setup).encoding, rel=0.02)
    with pytest.raises(BadConfig, match="multiple of 8 and at least"):
        make_plan("sd15", "lora", {}, 5, dtype=PRECISION, resolution=500)


def test_other_settings_are_counted() -> None:
    for settings in ({"method_config": {"rank": 200}}, {"layers": "attention+text"}, {"prior": "generated"}):
        recipe = load_recipe("lora", "sd15", "sd", overrides=settings)
        assert published_footprint("sd15", PRECISION, recipe) is None
    recipe = load_recipe("lora", "sd15", "sd", overrides={"steps": 10, "batch_size": 4, "learning_rate": 1.0})
    assert published_footprint("sd15", PRECISION, recipe) is not None
    assert published_footprint("sd15", torch.float32, recipe) is None
