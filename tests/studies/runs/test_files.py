"""Runs kept as files: written beside a page, taken over into another folder, refused where they are not runs."""

import csv
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from portraitist.bases import Base
from portraitist.errors import BadConfig, BadFile
from portraitist.studies.grid.planning import plan
from portraitist.studies.report.analysis import analyse
from portraitist.studies.report.sections import build_sections
from portraitist.studies.report.writing import write_report
from portraitist.studies.runs.engine import Prepared, study_facts, take_over
from portraitist.studies.runs.files import RUNS, write_csv
from portraitist.studies.runs.table import PICTURES, RunTable

from ..conftest import STUDY, MadeUpScorer, small_study


def empty(folder: Path, base: Base, **changes: Any) -> Prepared:
    """Return the made-up study, or one like it, in a folder without runs."""
    study, scorer = small_study(STUDY, **changes), MadeUpScorer()
    prepared = Prepared(study, tuple(plan(study, base, scorer.identity())), scorer, RunTable(folder))
    prepared.table.write_facts(study_facts(study, base, scorer, {}))
    return prepared


@pytest.fixture(scope="module")
def kept(made_up: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runs' file beside a kept page."""
    page = tmp_path_factory.mktemp("kept") / "mine.md"
    write_report(made_up, page=page)
    return page.parent / "mine" / RUNS


def test_a_kept_file_brings_every_finished_run(made_up: Prepared, kept: Path, tiny_base: Base, tmp_path: Path) -> None:
    other = empty(tmp_path, tiny_base)
    done = {key: record for key, record in made_up.table.records().items() if record.status == "done"}
    assert take_over(other, kept) == len(done) == len(made_up.specs) - 1
    assert other.table.records() == done
    assert len(other.missing()) == 1
    assert take_over(other, kept) == 0
    assert other.table.facts()["taken_over"] == len(done)


def test_a_file_of_an_earlier_version_brings_as_much(
    made_up: Prepared, kept: Path, tiny_base: Base, tmp_path: Path
) -> None:
    source = tmp_path / RUNS
    with kept.open(newline="", encoding="utf-8") as file:
        lines = [
            {name: text for name, text in line.items() if name != "prompt_scores"} for line in csv.DictReader(file)
        ]
    with source.open("w", newline="", encoding="utf-8") as file:
        file.write(",".join(lines[0]).replace("file_bytes", "size").replace("total_seconds", "seconds") + "\n")
        csv.DictWriter(file, list(lines[0])).writerows(lines)
    other = empty(tmp_path / "study", tiny_base)
    assert take_over(other, source) == len(made_up.specs) - 1
    earlier = {key: replace(record, prompt_scores={}) for key, record in made_up.table.records().items()}
    assert other.table.records().items() <= earlier.items()
    assert not any(section.groups for section in build_sections(analyse(other)))


def test_without_pictures_the_report_has_tables_only(kept: Path, tiny_base: Base, tmp_path: Path) -> None:
    other = empty(tmp_path, tiny_base)
    take_over(other, kept)
    page = write_report(other)[0].read_text()
    assert not any(section.pictures for section in build_sections(analyse(other)))
    assert re.search(rf"runs taken from elsewhere\W+(th|td|\W)+{len(other.specs) - 1}<", page)


def test_a_folder_brings_pictures_as_well(made_up: Prepared, tiny_base: Base, tmp_path: Path) -> None:
    write_report(made_up)
    other = empty(tmp_path, tiny_base)
    take_over(other, made_up.table.folder)
    assert build_sections(analyse(other))[0].pictures
    for key in other.table.records():
        files = {file.name: file.read_bytes() for file in (tmp_path / PICTURES / key).glob("*")}
        assert files == {file.name: file.read_bytes() for file in (made_up.table.folder / PICTURES / key).glob("*")}


def test_subjects_and_seeds_with_pictures_are_shown(
    made_up: Prepared, kept: Path, tiny_base: Base, tmp_path: Path
) -> None:
    other = empty(tmp_path, tiny_base)
    take_over(other, kept)
    late = STUDY["subjects"][5]
    for key, record in other.table.records().items():
        pictures = made_up.table.folder / PICTURES / key
        if record.subject == late and pictures.exists():
            shutil.copytree(pictures, tmp_path / PICTURES / key)
    grids = [grid for section in build_sections(analyse(other)) for grid in section.pictures]
    assert {grid.subject for grid in grids} == {late}
    assert all(image is not None for grid in grids for _, images in grid.rows for image in images)


def test_runs_of_another_study_are_left(kept: Path, tiny_base: Base, tmp_path: Path) -> None:
    other = empty(tmp_path, tiny_base, fixed={"prior": "none", "steps": 7}, references=False)
    assert take_over(other, kept) == 0
    assert "taken_over" not in other.table.facts()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda text: text.replace("key,", "name,", 1), "no column 'key'"),
        (lambda text: text.replace(",training_seconds,", ",minutes,", 1), "training_seconds: Field required"),
        (lambda text: text.replace(",120.0,", ",soon,"), "training_seconds: Input should be a valid number"),
        (lambda text: text.replace('""step"": 30', '""step"": []'), "curve.0.step: Input should be a valid integer"),
        (lambda text: text.encode() + b"\xff\xfe", "can't decode byte"),
    ],
    ids=["key", "column", "number", "curve", "bytes"],
)
def test_a_spoilt_file_is_refused_and_nothing_taken(
    spoil: Any, message: str, kept: Path, tiny_base: Base, tmp_path: Path
) -> None:
    spoilt = spoil(kept.read_text())
    source = tmp_path / RUNS
    source.write_bytes(spoilt if isinstance(spoilt, bytes) else spoilt.encode())
    other = empty(tmp_path / "study", tiny_base)
    with pytest.raises(BadFile, match=message) as caught:
        take_over(other, source)
    assert str(source) in str(caught.value)
    assert not other.table.records()


def test_fields_without_a_head_are_passed_over(kept: Path, tiny_base: Base, tmp_path: Path) -> None:
    source = tmp_path / RUNS
    source.write_text(kept.read_text().replace("\n", ",more,and more\n").replace(",more,and more\n", "\n", 1))
    assert take_over(empty(tmp_path / "study", tiny_base), source) > 0


def test_no_file_is_said(tiny_base: Base, tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match=r"no table of runs at .*nowhere; give a study's folder or the runs.csv of one"):
        take_over(empty(tmp_path, tiny_base), tmp_path / "nowhere")


def test_a_line_has_settings_and_scores_in_columns(made_up: Prepared, tmp_path: Path) -> None:
    write_csv(made_up.table.records().values(), tmp_path / RUNS)
    with (tmp_path / RUNS).open(newline="") as file:
        lines = {line["key"]: line for line in csv.DictReader(file)}
    for key, record in made_up.table.records().items():
        if record.status == "done":
            assert float(lines[key]["score.dino"]) == record.scores["dino"]
        assert lines[key]["setting.method"] == record.method
