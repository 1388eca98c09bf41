"""``portraitist methods`` and ``recipes``."""

from collections.abc import Callable
from pathlib import Path

import yaml
from click.testing import Result

from portraitist.adapters import list_methods
from portraitist.cli.methods import LISTING, describe_methods
from portraitist.training.recipes import list_recipes

Run = Callable[..., Result]
Fail = Callable[..., str]


def test_every_method_is_listed_with_its_settings(run: Run) -> None:
    output = run("methods").stdout
    for method in list_methods():
        assert method.name in output
        assert method.summary in output
        assert method.paper in output
    assert "rank=4, alpha=None" in output


def test_the_listing_is_what_the_methods_say_of_themselves() -> None:
    assert LISTING.read_text(encoding="utf-8") == describe_methods(), "write it anew: make listing"


def test_every_recipe_is_listed(run: Run) -> None:
    assert run("recipes").stdout.split() == list_recipes()


def test_a_recipe_is_shown_as_a_file_that_train_takes(run: Run, picture: Path, tiny_base_folder: Path) -> None:
    text = run("recipes", "sd/lora").stdout
    assert "# README command" in text
    assert yaml.safe_load(text)["method_config"] == {"rank": 4}
    Path("mine.yaml").write_text(text)
    run("train", picture, "--class", "cat", "--base", tiny_base_folder, "--recipe", "mine.yaml", "--steps", 1)


def test_an_unknown_recipe_is_refused(fail: Fail) -> None:
    assert "there is no recipe 'sd/lara'; choose one of " in fail("recipes", "sd/lara")
