"""The study of pairs, small, on the untrained base: rows, resuming, the page and its picture."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from portraitist.bases import Base, load_base
from portraitist.errors import BadConfig
from portraitist.studies.experiments.pairs import judging
from portraitist.studies.experiments.pairs import study as pair_study
from portraitist.studies.experiments.pairs.judging import VERDICTS, Judgement, Reliability
from portraitist.studies.experiments.pairs.recognisers import ColourRecogniser, make_recogniser
from portraitist.studies.experiments.pairs.report import render_report, write_report
from portraitist.studies.experiments.pairs.results import PairResult, PairStudyFolder, Way
from portraitist.studies.experiments.pairs.study import PROMPTS, WAYS, PairStudy, recipe_of_way, run_pairs
from portraitist.training.multi_subject.cut_mix import WORDINGS, pair_prompt

QUICK: dict[str, Any] = {
    "steps": 2,
    "learning_rate": 0.5,
    "warmup_steps": 0,
    "batch_size": 1,
    "prior": "none",
    "mirror": False,
    "layers": "UNet-CA-KV",
}
STUDY = PairStudy(
    2, ("svdiff",), WAYS, prompts=3, seeds=1, sampling_steps=1, overrides=tuple(QUICK.items()), strangers=2
)


@pytest.fixture(scope="module", autouse=True)
def small_judge() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("_ROUNDS", 1), ("_TRUE_PICTURES", 1)):
            patch.setattr(judging, name, value)
        yield


@pytest.fixture(scope="module")
def base(tiny_base_folder: Path) -> Base:
    """Return the tiny base with toyland's name, so that toyland's recipes are used."""
    loaded = load_base(tiny_base_folder)
    return Base("toyland", loaded.family)


@pytest.fixture(scope="module")
def store(base: Base, tmp_path_factory: pytest.TempPathFactory) -> PairStudyFolder:
    return run_pairs(STUDY, base, ColourRecogniser(), tmp_path_factory.mktemp("pairs"))


def test_every_way_has_a_row_for_every_pair(store: PairStudyFolder) -> None:
    rows = store.results()
    taught = {(p, "svdiff", way) for p in (0, 1) for way in WAYS}
    assert {(row.pair, row.method, row.way) for row in rows} == taught | {(p, "base", "untrained") for p in (0, 1)}
    assert all(len(row.verdicts) == 3 and set(row.verdicts) <= set(VERDICTS) for row in rows)
    assert {row.same_class for row in rows if row.pair == 0} == {True}
    assert store.sheet(rows[0]).size == (32, 3 * 32)
    sheets = {store.sheet(row).tobytes() for row in rows if row.pair == 0}
    assert len(sheets) == len(WAYS) + 1, "every way makes its own pictures"


def test_ways_have_equal_budgets_and_their_own_settings_only(base: Base) -> None:
    study = replace(STUDY, overrides=(*QUICK.items(), ("unmix_weight", 0.3), ("cut_mix", 0.5)))
    recipes = {way: recipe_of_way(study.recipe("svdiff", base), way) for way in WAYS}
    assert {way: (one.cut_mix, one.unmix_weight, one.steps) for way, one in recipes.items()} == {
        "joint": (0.0, 0.0, 4),
        "cut-mix": (0.5, 0.0, 4),
        "cut-mix-unmix": (0.5, 0.3, 4),
        "addition": (0.0, 0.0, 2),
        "regional": (0.0, 0.0, 2),
    }
    assert recipe_of_way(STUDY.recipe("svdiff", base), "cut-mix").cut_mix == 0.6


def test_what_is_done_is_kept(store: PairStudyFolder, base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = store.folder / "rows" / "001-svdiff-regional.json"
    before = json.loads(gone.read_text())
    gone.unlink()
    taught = []
    real = pair_study.train
    monkeypatch.setattr(
        pair_study, "train", lambda *args, **named: taught.append(args[1].token) or real(*args, **named)
    )
    monkeypatch.setattr(pair_study, "train_several", lambda *args, **named: pytest.fail("trained again"))
    run_pairs(STUDY, base, ColourRecogniser(), store.folder)
    assert taught == ["sks", "olo"]
    assert json.loads(gone.read_text())["verdicts"] == before["verdicts"]


def test_several_processes_make_the_same_rows(tiny_base_folder: Path, tmp_path: Path) -> None:
    study = PairStudy(1, ("svdiff",), ("joint",), 1, 1, 1, overrides=tuple(QUICK.items()), strangers=2)
    base = load_base(tiny_base_folder)
    recogniser = make_recogniser("toyland-identity")
    one, two = (run_pairs(study, base, recogniser, tmp_path / str(n), workers=n) for n in (1, 2))
    assert len(one.results()) == 2
    for mine, other in zip(one.results(), two.results(), strict=True):
        # Judges in other processes draw more references.
        rest = {"seconds": 0.0, "judge": other.judge, "verdicts": (), "likeness": (), "separation": ()}
        assert replace(mine, **rest) == replace(other, **rest)
        assert one.sheet(mine).tobytes() == two.sheet(other).tobytes()


def test_without_references_the_base_is_left_out(base: Base, tmp_path: Path) -> None:
    study = replace(STUDY, pairs=1, ways=("joint",), prompts=1, references=False)
    assert [row.way for row in run_pairs(study, base, ColourRecogniser(), tmp_path).results()] == ["joint"]


def test_another_judge_looks_at_the_kept_pictures(base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = replace(STUDY, pairs=1, ways=("joint", "addition"), references=False)
    before = run_pairs(study, base, ColourRecogniser(), tmp_path)
    kept = [(row.seconds, before.sheet(row).tobytes()) for row in before.results()]
    monkeypatch.setitem(pair_study.JUDGING, "own halves rejected", 0.5)
    monkeypatch.setattr(
        judging.PairJudge, "judge", lambda self, pictures, sides: [Judgement("twice", 0.5, 0.0)] * len(pictures)
    )
    for name in ("train", "train_several"):
        monkeypatch.setattr(pair_study, name, lambda *args, **named: pytest.fail("trained again"))
    fewer = run_pairs(replace(study, ways=("joint",)), base, ColourRecogniser(), tmp_path)
    assert [row.way for row in fewer.results()] == ["joint"], "verdicts of two judges are not mixed"
    after = run_pairs(study, base, ColourRecogniser(), tmp_path)
    assert [set(row.verdicts) for row in after.results()] == [{"twice"}] * 2
    assert [(row.seconds, after.sheet(row).tobytes()) for row in after.results()] == kept


def test_another_study_does_not_go_into_the_same_folder(store: PairStudyFolder, base: Base) -> None:
    other = replace(STUDY, seeds=2)
    with pytest.raises(BadConfig, match="holds another study: its pictures differs"):
        run_pairs(other, base, ColourRecogniser(), store.folder)


def test_the_page_names_what_it_is_of_and_shows_its_picture(store: PairStudyFolder, tmp_path: Path) -> None:
    page, picture = write_report(store, tmp_path / "multi-subject.md")
    text = page.read_text()
    assert "2 pairs of subjects" in text
    assert "3 prompts with 1 seeds each, 1 denoiser steps" in text
    assert "| svdiff | cut-mix-unmix |" in text
    assert f"]({picture.name})" in text
    with Image.open(picture) as image:
        assert image.format == "WEBP"
        # Photos of both, five ways and the untrained base, for a pair of each sort, under a title.
        assert image.height > 16 * 96
    assert "samples of each subject (2 with svdiff); a collage counts as half a" in text
    assert "| base | untrained | same class |" in text


def row(pair: int, way: Way, both: int) -> PairResult:
    return PairResult(
        pair=pair,
        name=f"pair {pair}",
        same_class=pair % 2 == 0,
        method="lora",
        way=way,
        verdicts=("both",) * both + ("twice",) * (10 - both),
        seconds=12.0,
        judge=Reliability(0.9, 0.8, 0.1, 0.0, 0.7, 0.4),
        likeness=(0.5,) * 10,
        separation=(both / 10,) * 10,
    )


def test_shares_gains_and_failures_are_those_of_the_rows() -> None:
    rows = [row(pair, "joint", 2) for pair in range(4)] + [row(pair, "cut-mix", 5 + pair) for pair in range(4)]
    facts = {"base": {"name": "toyland", "fingerprint": "abc"}, "pictures": {"seeds": 2, "steps": 25}}
    text = render_report(facts, rows, "grid.png")
    assert "| lora | joint | 20% (20% to 20%) | 20% (20% to 20%) | 20% (20% to 20%) | 4 | 12 |" in text
    assert "| lora | cut-mix | same class | 0% | 0% | 40% | 0% | 0% | 0% |" in text
    assert "| lora | cut-mix | two classes | 0% | 0% | 30% | 0% | 0% | 0% |" in text
    gain = next(line for line in text.split("## Gain")[1].splitlines() if line.startswith("| lora | cut-mix |"))
    assert gain.split("|")[3].strip().startswith("+45 points (")
    assert [cell.strip()[:7] for cell in gain.split("|")[6:8]] == ["+0.40 (", "+0.50 ("]
    assert "| lora | joint | 0.50 (0.50 to 0.50) | 0.50 (0.50 to 0.50) | 0.20 (0.20 to 0.20) |" in text
    assert "| drawn pictures of the pair |  | 0.70 (0.70 to 0.70) |" in text
    assert "it accepts 90% (90% to 90%) where the two are drawn together" in text
    assert "80% (80% to 80%) in collages; wrongly it accepts 10% (10% to 10%) of pictures of one of them with a" in text


def test_the_best_way_of_a_method_comes_first() -> None:
    facts = {"base": {"name": "toyland", "fingerprint": "abc"}, "pictures": {"seeds": 2, "steps": 25}}
    ways: dict[Way, list[int]] = {"joint": [2] * 6, "cut-mix": [6, 7] * 3, "addition": [7, 5] * 3}
    rows = [row(pair, way, both) for way, shares in ways.items() for pair, both in enumerate(shares)]
    text = render_report(facts, rows, "grid.png")
    assert "- lora: most pictures of both come from cut-mix, 65% (62% to 68%). Within noise of it: addition." in text
    assert (
        "- lora: the two are told apart best with cut-mix, 0.65 (0.62 to 0.68). Within noise of it: addition." in text
    )
    few = render_report(facts, [each for each in rows if each.pair < 4], "grid.png")
    assert "With 4 pairs, no difference can be told from noise; that takes 6 or more." in few


def test_only_the_last_three_prompts_are_worded_as_collages_are() -> None:
    worded = {pair_prompt("a photo of a {}", "sks cat", "olo cat", wording) for wording in WORDINGS}
    filled = [prompt.fill("a sks cat", "a olo cat") for prompt in PROMPTS]
    assert [any(text.startswith(start) for start in worded) for text in filled] == [False] * 5 + [True] * 3


def test_prompts_of_the_study_differ() -> None:
    filled = [prompt.fill("a sks cat", "a olo cat") for prompt in PROMPTS]
    assert len(set(filled)) == len(PROMPTS) == 8
    assert sum(prompt.sides for prompt in PROMPTS) == 2
    assert "a photo of a sks cat next to a olo cat on the beach" in filled


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"pairs": 0}, "needs a pair"),
        ({"prompts": 9}, "1 to 8 prompts"),
        ({"ways": ("sideways",)}, "no way to teach two is named 'sideways'"),
        ({"split": "exam"}, "no split of identities named 'exam'"),
    ],
)
def test_studies_that_cannot_be_are_refused(settings: dict[str, Any], complaint: str) -> None:
    with pytest.raises(BadConfig, match=complaint):
        PairStudy(**settings)
