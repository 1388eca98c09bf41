"""A grid of arms: compared with one of them, with the way to it, and a sheet."""

from dataclasses import replace
from pathlib import Path

import pytest

from portraitist.bases import Base
from portraitist.studies.report.analysis import StudyResult, analyse
from portraitist.studies.report.findings import answer, caveats
from portraitist.studies.report.sections import build_sections
from portraitist.studies.report.writing import write_report

from ..conftest import STUDY, make_up

ARMS = {
    "arms": {"whole": {"method": "full", "steps": 90}, "small": {"method": "svdiff", "steps": 45}},
    "against": "whole",
    "sheet": {"subjects": 2, "prompts": 2},
}
CONTENT = {**STUDY, "grids": [{"name": "Arms", **ARMS}, STUDY["grids"][2]]}


@pytest.fixture(scope="module")
def result(tiny_base: Base, tmp_path_factory: pytest.TempPathFactory) -> StudyResult:
    return analyse(make_up(tmp_path_factory.mktemp("arms"), tiny_base, CONTENT))


def test_differences_and_the_way_are_told(result: StudyResult) -> None:
    said = " ".join(answer(result))
    assert "DINO against whole (higher is better): small -0." in said
    section = build_sections(result)[0]
    heads = [column.label for column in section.columns]
    whole, small = (line.entries for line in section.lines[:2])
    assert [entries[heads.index("Steps")].text for entries in (whole, small)] == ["90", "45"]
    assert small[heads.index("As good as whole")].text == "never"
    assert whole[heads.index("As good as whole")].text == "step 90"
    assert section.effects is not None
    assert section.effects.title == "Difference from whole"
    assert [name for name, _ in section.effects.rows] == ["small"]
    assert section.sheet is not None


def test_an_encoder_that_networks_see_with_is_no_judge_of_them(result: StudyResult) -> None:
    assert not any("proves little" in line for line in caveats(result, result.grids[0]))
    key, run = next(iter(result.runs.items()))
    recipe = {**run.spec["recipe"], "sees": [result.prepared.scorer.identity()["encoder"]]}
    fed = replace(result, runs={**result.runs, key: replace(run, spec={**run.spec, "recipe": recipe})})
    (line,) = [line for line in caveats(fed, fed.grids[0]) if "proves little" in line]
    assert "the encoders that judge as encoder" in line


def test_the_sheet_is_on_both_pages(result: StudyResult) -> None:
    write_report(result.prepared)
    folder: Path = result.prepared.table.folder
    assert "figures/1-sheet.webp" in (folder / "report.md").read_text()
    assert (folder / "figures" / "1-sheet.webp").exists()
    assert "One row per subject" in (folder / "report.html").read_text(encoding="utf-8")
