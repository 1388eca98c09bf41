"""Folders that arms need: put in place, or the arms are left out and named."""

from pathlib import Path
from typing import Any

import pytest

from portraitist.errors import BadConfig
from portraitist.studies.grid.folders import supply
from portraitist.studies.grid.study import Study, load_study, parse_study

ARMS: dict[str, dict[str, Any]] = {
    "first": {"method": "instant", "hypernetwork": "$network"},
    "second": {"method": "instant", "hypernetwork": "$networks/k-1"},
    "third": {"method": "lora", "learning_rate": 1e-3},
}


def study(**changes: Any) -> Study:
    content = {
        "title": "Arms",
        "hypothesis": "Nothing in particular is expected of it.",
        "prompts": ["a photo of a {}"],
        "folders": {"network": "toyland", "networks": None},
        "grids": [{"name": "one", "arms": ARMS, "against": "second", "sheet": {"variants": ["second", "third"]}}],
    }
    return parse_study({**content, **changes}, Path.cwd(), "the test")


def test_an_arm_without_its_folder_is_left_out() -> None:
    supplied = supply(study(), {})
    assert supplied.left_out == ("second (networks/k-1)",)
    (grid,) = supplied.study.grids
    assert grid.methods == ("first", "third")
    assert grid.arms["first"]["hypernetwork"] == "toyland"
    assert grid.against is None
    assert grid.sheet is not None
    assert grid.sheet.variants == ("third",)
    assert (grid.method_of("third"), grid.settings_of("third")) == ("lora", {"learning_rate": 1e-3})


def test_folders_are_put_in_place(tmp_path: Path) -> None:
    (tmp_path / "k-1").mkdir()
    supplied = supply(study(), {"networks": tmp_path, "network": tmp_path / "k-1"})
    assert not supplied.left_out
    assert supplied.study.grids[0].settings_of("second") == {"hypernetwork": str(tmp_path / "k-1")}
    assert supplied.study.grids[0].settings_of("first") == {"hypernetwork": str(tmp_path / "k-1")}


def test_what_cannot_be_supplied_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="needs no folder called 'nets'; it needs: network, networks"):
        supply(study(), {"nets": tmp_path})
    with pytest.raises(BadConfig, match="does not exist"):
        supply(study(), {"networks": tmp_path / "nowhere"})
    alone = study(grids=[{"name": "one", "arms": {"second": ARMS["second"]}}])
    with pytest.raises(BadConfig, match="nothing of this study can be run without its folders: second"):
        supply(alone, {})


@pytest.mark.parametrize(
    ("grid", "complaint"),
    [
        ({"arms": {"one": {"learning_rate": 1e-3}}}, "the arm one needs a method"),
        ({"arms": ARMS, "methods": ["lora"]}, "methods or arms, not both"),
        ({"arms": ARMS, "against": "fourth"}, "no method or arm is called 'fourth'"),
        ({"arms": ARMS, "against": "first", "settings": {"seen": ["own"]}}, "without settings"),
    ],
)
def test_arms_that_make_no_sense_are_refused(grid: dict[str, Any], complaint: str) -> None:
    with pytest.raises(BadConfig, match=complaint):
        study(grids=[{"name": "one", **grid}])


def test_the_study_of_hyperdreambooth_runs_with_what_there_is() -> None:
    whole = load_study("hyperdreambooth")
    supplied = supply(whole, {})
    assert {"own photo (identities)", "one iteration (networks/k-1)"} <= set(supplied.left_out)
    assert supplied.study.grids[0].methods == whole.grids[0].methods
    assert supplied.study.grids[0].against == "DreamBooth LoRA"
    assert len(whole.shrunk().prompts_of("person")) == 3


def test_the_study_of_difflora_has_the_papers_protocol_and_runs_with_what_there_is(tmp_path: Path) -> None:
    whole = load_study("difflora")
    assert (len(whole.prompts_of("person")), whole.pictures) == (30, 1)
    sizes = {group: len(prompts) for group, prompts in whole.prompt_groups.items()}
    assert sizes == {"places": 6, "styles": 6, "clothes": 6, "accessories": 6, "held objects": 6}
    supplied = supply(whole, {})
    assert [grid.name for grid in supplied.study.grids] == ["One photo", "Pictures"]
    assert supplied.study.grids[0].methods == whole.grids[0].methods, "all that this needs ships"
    quick = whole.shrunk()
    assert [len(prompts) for prompts in quick.prompt_groups.values()] == [1, 1, 1, 1, 1]
