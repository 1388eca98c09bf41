"""From a study to its runs: which there are, in which order, and when two are the same."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from portraitist.bases import Base
from portraitist.bases.examples import get_example
from portraitist.errors import BadConfig
from portraitist.studies.grid.planning import Cell, nest, plan, unique_specs
from portraitist.studies.grid.study import list_studies, load_study
from portraitist.studies.grid.variants import REFERENCES, coarse_to_fine, interleave
from portraitist.studies.runs.scoring import ColourScorer

from ..conftest import MadeUpScorer, small_study


def cells(base: Base, **changes: object) -> list[Cell]:
    return plan(small_study(**{"references": False, **changes}), base, ColourScorer().identity())


def test_there_is_a_run_for_every_combination(tiny_base: Base) -> None:
    planned = cells(tiny_base, seeds=[0, 1])
    by_grid = {name: [cell for cell in planned if cell.variant.grid == name] for name in ("Methods", "Learning rates")}
    assert len(by_grid["Methods"]) == 3 * 8 * 2
    assert len(by_grid["Learning rates"]) == 2 * 4 * 6 * 2
    rates = {cell.variant.label: cell.spec.recipe["learning_rate"] for cell in by_grid["Learning rates"]}
    assert rates["lora (learning rate 0.01)"] == 0.01
    assert {cell.spec.recipe["seed"] for cell in planned} == {0, 1}
    assert all(cell.spec.recipe["prior"] == "none" for cell in planned)


def test_all_arms_meet_a_subject_before_the_next_and_all_subjects_before_the_next_seed(tiny_base: Base) -> None:
    planned = cells(tiny_base, seeds=[0, 1])
    turns = list(dict.fromkeys((cell.seed, cell.subject) for cell in planned))
    assert [seed for seed, _ in turns] == [0] * 8 + [1] * 8
    first = [cell for cell in planned if (cell.seed, cell.subject) == turns[0]]
    assert planned[: len(first)] == first
    assert [cell.variant.label for cell in first[:3]] == ["full", "lora (learning rate 0.0001)", "svdiff (layers UNet)"]
    methods = [cell.variant.method for cell in first if cell.variant.grid == "Learning rates"]
    assert methods == ["lora", "svdiff"] * 4
    kinds = [subject.partition("-")[0] for _, subject in turns[:4]]
    assert len(set(kinds)) == len({subject.partition("-")[0] for _, subject in turns[:8]})


def test_arms_that_agree_share_runs(tiny_base: Base) -> None:
    planned = cells(tiny_base)
    assert len(unique_specs(planned)) < len(planned)
    rate = next(cell.spec.recipe["learning_rate"] for cell in planned if cell.variant.label == "lora")
    grids = [
        {"name": "one", "methods": ["lora"]},
        {"name": "two", "methods": ["lora"], "settings": {"learning_rate": [rate, 2 * rate]}},
    ]
    again = cells(tiny_base, grids=grids)
    assert len(again) == 3 * 8
    assert len(unique_specs(again)) == 2 * 8


def test_references_end_a_subject_and_are_shared_by_all_grids(tiny_base: Base) -> None:
    planned = cells(tiny_base, seeds=[0, 1], references=True)
    references = [cell for cell in planned if cell.variant.method in REFERENCES]
    assert len(references) == 2 * (8 + 6 + 8)
    assert len({cell.spec.key for cell in references}) == 2 * 8
    assert {cell.seed for cell in references} == {0}
    first = [cell for cell in planned if cell.subject == planned[0].subject and cell.seed == 0]
    assert [cell.variant.method for cell in first[-6:]] == ["photos", "base"] * 3
    assert not any(cell.variant.method in REFERENCES for cell in first[:-6])


@pytest.mark.parametrize(
    "change",
    [
        {"prompts": ["a photo of a {}"]},
        {"pictures": 3},
        {"sampling": {"steps": 3}},
        {"checkpoints": 0},
        {"fixed": {"prior": "none", "steps": 7}},
        {"token": "olo"},
    ],
)
def test_whatever_changes_a_result_changes_its_key(tiny_base: Base, change: dict[str, object]) -> None:
    before = {cell.spec.key for cell in cells(tiny_base)}
    assert before.isdisjoint(cell.spec.key for cell in cells(tiny_base, **change))


def test_other_encoders_make_other_runs_and_moved_photos_do_not(tiny_base: Base) -> None:
    study = small_study()
    (one, *_), (other, *_) = (plan(study, tiny_base, scorer.identity()) for scorer in (ColourScorer(), MadeUpScorer()))
    assert one.spec.key != other.spec.key
    assert replace(one.spec, photos="/elsewhere").key == one.spec.key
    assert replace(one.spec, fingerprint="another").key != one.spec.key


def test_other_photos_under_the_same_name_make_other_runs(tiny_base: Base, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    shutil.copytree(get_example("cat-1b7ecd").folder, folder)
    subjects = [{"name": "Mia", "photos": str(folder), "class": "cat"}]
    before = {cell.spec.key for cell in cells(tiny_base, subjects=subjects)}
    assert before == {cell.spec.key for cell in cells(tiny_base, subjects=subjects)}
    shutil.copy(next(get_example("robot-6f3f5f").folder.glob("*.png")), next(folder.glob("*.png")))
    assert before.isdisjoint(cell.spec.key for cell in cells(tiny_base, subjects=subjects))
    shutil.rmtree(folder)
    with pytest.raises(BadConfig, match="Mia has no photos"):
        cells(tiny_base, subjects=subjects)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"learning_rat": [1.0]}, "learning_rate"),
        ({"method_config.rang": [1]}, "rang"),
        ({"photos": [0]}, "number of photos"),
        ({"photos": [1, 99]}, "asks for 99 photos, but .* has 5"),
        ({"seed": [1]}, "seeds"),
        ({"steps": [1], "steps.more": [1]}, "both a value and parts"),
    ],
)
def test_settings_that_cannot_work_are_refused_before_work(
    tiny_base: Base, settings: dict[str, object], complaint: str
) -> None:
    with pytest.raises(BadConfig, match=complaint):
        cells(tiny_base, grids=[{"name": "one", "methods": ["lora"], "settings": settings}])


@pytest.mark.parametrize("name", [name for name in list_studies() if not load_study(name).folders])
def test_the_studies_of_the_package_can_be_planned(tiny_base: Base, name: str) -> None:
    toyland = replace(tiny_base, name="toyland")
    study = load_study(name)
    whole, quick = (
        [spec for spec in unique_specs(plan(each, toyland, ColourScorer().identity())) if spec.method not in REFERENCES]
        for each in (study, study.shrunk())
    )
    assert len(quick) <= 24
    assert 4 * len(quick) < len(whole) < 400
    assert len({spec.subject for spec in quick}) == 2


def test_ends_come_first_then_middles() -> None:
    assert coarse_to_fine(range(9)) == [0, 8, 4, 2, 6, 1, 3, 5, 7]
    assert coarse_to_fine("ab") == ["a", "b"]
    assert coarse_to_fine([7]) == [7]
    assert coarse_to_fine([]) == []


def test_columns_take_turns() -> None:
    assert interleave([[1, 2, 3], [4], [5, 6]]) == [1, 4, 5, 2, 6, 3]


def test_dotted_names_nest() -> None:
    assert nest({"a": 1, "b.c": 2, "b.d": None}) == {"a": 1, "b": {"c": 2, "d": None}}
