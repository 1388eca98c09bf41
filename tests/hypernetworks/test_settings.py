from pathlib import Path

import pytest

from portraitist.errors import BadConfig
from portraitist.hypernetworks.recipes import list_recipes, load_recipe


def test_the_paper_and_ours_ship() -> None:
    assert list_recipes() == ["paper", "portraitist"]


def test_the_paper_predicts_lidb_in_frozen_bases_with_both_losses() -> None:
    recipe = load_recipe("paper")
    assert (recipe.output.space, recipe.output.config["a"], recipe.output.config["b"]) == ("lidb", 100, 50)
    assert (recipe.decoder.blocks, recipe.decoder.iterations, recipe.decoder.head_deviation) == (2, 4, 1e-3)
    assert recipe.losses.diffusion > 0
    assert recipe.losses.weights > 0
    assert not recipe.losses.other_photo


def test_ours_sees_another_photo_and_sometimes_none() -> None:
    losses = load_recipe("portraitist").losses
    assert losses.other_photo
    assert losses.unknown == 0.1
    assert losses.numbers > 0


def test_settings_are_changed_by_section(tmp_path: Path) -> None:
    recipe = load_recipe("paper", {"training": {"steps": 7}, "losses": {"noise": (0.2, 0.8)}})
    assert (recipe.training.steps, recipe.losses.noise, recipe.decoder.iterations) == (7, (0.2, 0.8), 4)
    own = tmp_path / "own.yaml"
    own.write_text(Path(__file__).parents[2].joinpath("src/portraitist/hypernetworks/recipes/paper.yaml").read_text())
    assert load_recipe(str(own)) == load_recipe("paper")


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"training": {"stepz": 7}}, "training.stepz"),
        ({"refinement": {"rank": 1}}, "refinement.rank"),
        ({"steps": 7}, "section.name=value"),
    ],
)
def test_wrong_settings_are_named(changes: dict[str, object], complaint: str) -> None:
    with pytest.raises(BadConfig, match=complaint):
        load_recipe("paper", changes)


def test_recipes_that_are_not_there_or_are_none(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="choose paper or portraitist"):
        load_recipe("papr")
    (tmp_path / "bad.yaml").write_text("- 1")
    with pytest.raises(BadConfig, match="not made of sections"):
        load_recipe(str(tmp_path / "bad.yaml"))
