"""Makers: methods are trained, and a way that is no training is compared with them once it is named."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from portraitist.bases import Base
from portraitist.errors import BadConfig
from portraitist.studies.makers import MAKERS, Made, find_maker
from portraitist.studies.makers.training import Training
from portraitist.studies.runs.engine import prepare, run_study
from portraitist.training.blank_adapters import new_adapter
from portraitist.training.loop.loop import Callback
from portraitist.training.recipes import load_recipe
from portraitist.training.subjects import Subject

from ..conftest import small_study


class Untaught:
    """Hands out adapters as they are before training."""

    def resolve(self, method: str, base: Base, overrides: Mapping[str, Any]) -> dict[str, Any]:
        if unknown := sorted(set(overrides) - {"seed", "rank"}):
            raise BadConfig(f"{method} has no setting {unknown[0]!r}")
        return {"method": method, "rank": 4, **overrides}

    def make(self, base: Base, subject: Subject, settings: Mapping[str, Any], callbacks: Sequence[Callback]) -> Made:
        method_config = {"rank": settings["rank"]}
        overrides = {"method_config": method_config, "seed": settings["seed"]}
        recipe = load_recipe("lora", base.name, base.family.name, overrides=overrides)
        return Made(new_adapter(base, [subject], recipe), 0.25)


def test_methods_are_trained() -> None:
    assert isinstance(find_maker("lora"), Training)
    with pytest.raises(BadConfig, match="unknown method 'untaught'"):
        find_maker("untaught")


def test_what_is_no_training_is_run_like_a_method(
    tiny_base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(MAKERS, "untaught", Untaught())
    settings: dict[str, Any] = {
        "base": tiny_base.name,
        "subjects": ["cat-1b7ecd"],
        "prompts": ["a photo of a {}"],
        "references": False,
        "fixed": {},
        "grids": [{"name": "Ranks", "methods": ["untaught"], "settings": {"rank": [2, 4]}}],
    }
    prepared = prepare(small_study(**settings), tmp_path)
    run_study(prepared)
    records = list(prepared.table.records().values())
    assert [record.error for record in records] == ["", ""]
    assert [record.spec["recipe"]["rank"] for record in records] == [2, 4]
    assert records[1].parameters == 2 * (records[0].parameters or 0)
    assert {record.training_seconds for record in records} == {0.25}
    assert all(record.curve == () and record.scores for record in records)
    wrong = {**settings, "fixed": {"steps": 3}}
    with pytest.raises(BadConfig, match="untaught has no setting 'steps'"):
        prepare(small_study(**wrong), tmp_path / "wrong")
