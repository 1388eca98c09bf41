"""Every family has a recipe for every method, for layers it has, and says where each value is from."""

import re

import pytest

from portraitist.adapters import list_methods
from portraitist.bases.families import FAMILIES, Family
from portraitist.training.recipes import load_recipe, recipe_text

METHODS = [method.name for method in list_methods()]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_recipes_fit_their_family(family: type[Family], method: str) -> None:
    recipe = load_recipe(method, "some/model", family.name)
    assert recipe.method == method
    assert recipe.layers in family.layer_sets


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_every_value_has_its_source(family: type[Family], method: str) -> None:
    head, *lines = recipe_text(f"{family.name}/{method}").splitlines()
    assert re.match(r"# .*(arXiv|diffusers)", head)
    for line in lines:
        assert line.startswith("#") or re.search(r"\s{2,}# \S", line), line
