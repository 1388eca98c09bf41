"""``portraitist study``: from a file to a report, resumed, in its short version, refused in one line."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from portraitist.studies.grid.study import list_studies

STUDY = """
title: LoRA at two rates
hypothesis: The higher rate moves the pictures further.
scorer: colours
subjects: [cat-1b7ecd, robot-6f3f5f]
prompts: ["a photo of a {} on the beach", "a photo of a {} in space"]
sampling: {steps: 2}
fixed: {steps: 1, batch_size: 1, prior: none}
grids: [{name: Rates, methods: [lora], settings: {learning_rate: [1e-3, 1e-1]}}]
quick: {subjects: 1, prompts: 1, sampling_steps: 1}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "rates.yaml"
    path.write_text(STUDY)
    return path


def test_a_study_is_run_reported_and_resumed(run: Callable[..., Result], file: Path, tiny_base_folder: Path) -> None:
    command = ("study", file.name, "--base", tiny_base_folder, "--workers", 1)
    said = run(*command, "--quick").stdout
    assert "runs        4 on 1 subjects, 1 at once" in said
    folder = file.parent / "rates-quick-study"
    assert (folder / "report.html").as_uri() in said
    assert {path.name for path in folder.iterdir()} >= {"report.md", "summary.csv", "runs.csv", "runs.sqlite"}
    assert "is best on colour match" in said
    assert "no difference can be told from noise" in said
    assert "4 of them in the folder already" in run(*command, "--quick", "--page", "kept/rates.md").stdout
    text = Path("kept/rates.md").read_text()
    assert text.replace("](rates/", "](figures/") == (folder / "report.md").read_text()
    assert all(Path("kept", file).exists() for file in re.findall(r"\]\((rates/[^)]+)\)", text))
    (folder / "report.html").unlink()
    run(*command, "--quick", "--only-report")
    assert "LoRA at two rates (quick)" in (folder / "report.html").read_text(encoding="utf-8")
    said = run(*command, "--quick", "-o", "elsewhere", "--from", "kept/rates/runs.csv").stdout
    assert "4 runs from kept/rates/runs.csv" in said
    assert "4 of them in the folder already" in said
    said = run(*command, "--quick", "-o", "reported", "--from", "kept/rates/runs.csv", "--only-report").stdout
    assert "is best on colour match" in said


def test_without_a_name_the_studies_are_listed(run: Callable[..., Result]) -> None:
    said = run("study").stdout
    assert all(f"{name:<12}" in said for name in list_studies())


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("nothing.yaml",), "cannot read the study nothing.yaml"),
        (("rates.yaml", "--executor", "cloud"), "no executor is named 'cloud'"),
        (("rates.yaml", "--only-report"), "nothing to report"),
        (("rates.yaml", "--base", "nowhere"), "nowhere"),
        (("rates.yaml", "--from", "nothing.csv"), "no table of runs at nothing.csv"),
        (("rates.yaml", "--folder", "networks"), "--folder takes NAME=FOLDER"),
        (("rates.yaml", "--folder", "networks=."), "this study needs no folder called 'networks'; it needs: none"),
    ],
)
def test_what_cannot_work_is_refused(
    fail: Callable[..., str], file: Path, arguments: tuple[str, ...], complaint: str
) -> None:
    assert complaint in fail("study", *arguments)
    assert [path.name for path in file.parent.iterdir()] == ["rates.yaml"]
