"""Study files: strictly read, shrunk evenly, and those of the package in order."""

import re
from pathlib import Path
from typing import Any

import pytest

from portraitist.bases.examples import list_examples
from portraitist.cli.study import _wanted as wanted
from portraitist.errors import BadConfig
from portraitist.studies.grid.drawing import DrawnSubjects
from portraitist.studies.grid.study import list_studies, load_study, thin
from portraitist.studies.grid.variants import variants_of
from portraitist.training.recipes import load_recipe

LINES = """
title: A study
hypothesis: Nothing in particular is expected of it.
subjects: [cat-1b7ecd, {name: mine, photos: photos, class: dog}]
prompts: ["a photo of a {}"]
grids: [{name: one, methods: [lora], settings: {learning_rate: [1e-4, 2e-3]}}]
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "study.yaml"
    path.write_text(text)
    return path


def test_a_file_is_read_with_its_photos_beside_it(tmp_path: Path) -> None:
    study = load_study(write(tmp_path, LINES))
    cat, mine = study.subject_entries()
    assert (cat.name, cat.class_noun) == ("cat-1b7ecd", "cat")
    assert mine.photos == tmp_path / "photos"
    assert study.grids[0].settings == {"learning_rate": (1e-4, 2e-3)}
    assert all(isinstance(value, float) for value in study.grids[0].settings["learning_rate"])


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("title:", "titel:"), "there is no setting 'titel'; did you mean title?"),
        (("methods: [lora]", "methods: [lorra]"), "lora"),
        (("a photo of a {}", "a photo"), "must contain {} exactly once"),
        (("[1e-4, 2e-3]", "[1e-4, 1e-4]"), "none of them twice"),
        (("[1e-4, 2e-3]", "[]"), "needs values"),
        (("Nothing in particular is expected of it.", "None."), "hypothesis"),
        (("class: dog", "kind: dog"), "there is no setting 'subjects.1.kind'"),
        (("title: A study", "title: [unclosed"), "cannot read the study"),
        (("[cat-1b7ecd, {name: mine", "[mine, {name: mine"), "two subjects have the name mine"),
        (("[cat-1b7ecd, {name: mine, photos: photos, class: dog}]", "[]"), "at least one subject"),
        (("title: A study", "title: A study\nquick: {grids: [two]}"), "quick.grids names 'two'"),
    ],
)
def test_what_cannot_work_is_named(tmp_path: Path, change: tuple[str, str], complaint: str) -> None:
    assert change[0] in LINES
    with pytest.raises(BadConfig, match=re.escape(complaint)):
        load_study(write(tmp_path, LINES.replace(*change)))


def test_values_are_named_for_readers(tmp_path: Path) -> None:
    named = LINES.replace("settings: {", "names: {learning_rate: {2e-3: fast}}, settings: {")
    (grid,) = load_study(write(tmp_path, named)).grids
    assert [variant.label for variant in variants_of(grid)] == ["lora (learning rate 0.0001)", "lora (fast)"]
    with pytest.raises(BadConfig, match=r"learning_rate does not take the value 0\.005"):
        load_study(write(tmp_path, named.replace("{2e-3: fast}", "{5e-3: fast}")))


def test_two_grids_of_one_name_are_refused(tmp_path: Path) -> None:
    twice = LINES.replace("grids: [", "grids: [{name: one, methods: [krona]}, ")
    with pytest.raises(BadConfig, match="same name"):
        load_study(write(tmp_path, twice))


def test_an_unknown_study_names_those_there_are() -> None:
    with pytest.raises(BadConfig, match="krona, methods, prior, svdiff"):
        load_study("nothing")


def test_an_unknown_example_is_named(tmp_path: Path) -> None:
    study = load_study(write(tmp_path, LINES.replace("cat-1b7ecd", "cat-1b7ece")))
    with pytest.raises(BadConfig, match="did you mean cat-1b7ecd"):
        study.subject_entries()


@pytest.mark.parametrize(
    ("count", "values"), [(2, (0, 9)), (3, (0, 4, 9)), (4, (0, 3, 6, 9)), (10, tuple(range(10))), (1, (0,))]
)
def test_values_are_thinned_evenly(count: int, values: tuple[int, ...]) -> None:
    assert thin(range(10), count) == values


def test_subjects_of_all_kinds_come_before_the_second_of_one() -> None:
    kinds = [entry.class_noun for entry in load_study("methods").subject_entries()]
    assert len(kinds) == len(list_examples())
    assert all(len(set(kinds[start : start + 4])) == 4 for start in range(0, len(kinds), 4))


@pytest.mark.parametrize("name", list_studies())
def test_a_quick_version_has_less_of_everything(name: str) -> None:
    whole, quick = load_study(name), wanted(name, True, None)
    if isinstance(quick.subjects, DrawnSubjects):
        assert quick.subjects.most == whole.quick.subjects
    else:
        assert len(quick.subject_entries()) < len(whole.subject_entries())
    assert set(quick.prompts_of("")) < set(whole.prompts_of(""))
    assert set(quick.prompt_groups) <= set(whole.prompt_groups)
    if "steps" in quick.fixed:
        methods = {method for grid in quick.grids for method in grid.methods}
        recipes = [load_recipe(method, "toyland", "sd") for method in methods]
        assert all(quick.fixed["steps"] < recipe.steps for recipe in recipes)
    assert quick.hypothesis == whole.hypothesis
    for grid in quick.grids:
        (original,) = (each for each in whole.grids if each.name == grid.name)
        assert {name: set(values) for name, values in grid.settings.items()} == {
            name: set(values) & set(original.settings[name]) for name, values in grid.settings.items()
        }


def test_the_learning_rates_are_the_papers_scaled_to_the_recipe() -> None:
    """The rates of arXiv 2402.17412, figure 4: 1e-4 to 9e-4 in steps of 1e-4, then 1e-3 to 5e-3; its best is 5e-4."""
    (grid,) = (grid for grid in load_study("krona").grids if grid.name == "Learning rates")
    papers = [1e-4 * step for step in range(1, 10)] + [1e-3 * step for step in range(1, 6)]
    rates: tuple[Any, ...] = grid.settings["learning_rate"]
    scale = load_recipe("krona", "toyland", "sd").learning_rate / 5e-4
    assert rates == pytest.approx([scale * rate for rate in papers])
    assert grid.methods == ("krona", "lora")
    assert grid.fixed == {"text_learning_rate": None}  # so that the text encoder's moves with the denoiser's


def test_the_subsets_are_the_papers_twelve() -> None:
    (grid,) = (grid for grid in load_study("svdiff").grids if grid.name == "Subsets")
    assert len(grid.settings["layers"]) == 12
