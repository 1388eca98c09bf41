"""``portraitist toyland pairs`` and ``portraitist toyland editing``, as small as they can be."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from portraitist.studies.experiments.pairs import judging

Run = Callable[..., Result]
Fail = Callable[..., str]

QUICK = ("--set", "steps=1", "--set", "batch_size=1", "--set", "prior=none", "--set", "layers=UNet-CA-KV")


def test_pairs_are_taught_judged_and_reported(
    run: Run, tiny_base_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judging, "_ROUNDS", 1)
    monkeypatch.setattr(judging, "_TRUE_PICTURES", 1)
    small = ("--pairs", 1, "--method", "svdiff", "--way", "cut-mix-unmix", "--prompts", 1, "--seeds", 1)
    options = ("--base", tiny_base_folder, "--judge", "colours", "--sampling-steps", 1, *QUICK)
    output = run("toyland", "pairs", "-o", "page.md", *small, *options).stdout
    assert "page.md" in output
    text = Path("page.md").read_text()
    assert "| svdiff | cut-mix-unmix |" in text
    assert "| base | untrained |" in text
    assert {path.name for path in Path("pairs/rows").glob("*.json")} == {
        "000-base-untrained.json",
        "000-svdiff-cut-mix-unmix.json",
    }


def test_an_unknown_way_is_refused(fail: Fail, tiny_base_folder: Path) -> None:
    options = ("-o", "page.md", "--base", tiny_base_folder, "--judge", "colours", "--way", "sideways")
    assert "no way to teach two is named 'sideways'" in fail("toyland", "pairs", *options)


def test_edits_are_made_scored_and_reported(run: Run, tiny_base_folder: Path) -> None:
    small = ("--count", 1, "--method", "svdiff", "--sampling-steps", 2)
    run("toyland", "editing", "--base", tiny_base_folder, *small, *QUICK, "-o", "study")
    assert "| svdiff, inverted |" in Path("study/editing.md").read_text()
    assert Path("study/editing.webp").exists()
    again = run("toyland", "editing", "--base", tiny_base_folder, *small, *QUICK, "--only-report", "-o", "study")
    assert "| svdiff, inverted |" in again.stdout
