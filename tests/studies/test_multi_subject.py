"""The study of pairs, small, on the untrained base: rows, resuming, the page and its picture."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from portraitist.bases import Base, load_base
from portraitist.errors import BadConfig
from portraitist.studies import multi_subject
from portraitist.studies.multi_subject import PROMPTS, WAYS, PairStudy, PairStudyFolder, Row, carry_out
from portraitist.studies.pair_judging import VERDICTS, ColourRecogniser, make_recogniser
from portraitist.studies.pair_report import render_report, write_report

QUICK: dict[str, Any] = {
    "steps": 2,
    "learning_rate": 0.5,
    "warmup_steps": 0,
    "batch_size": 1,
    "prior": "none",
    "mirror": False,
    "layers": "UNet-CA-KV",
}
STUDY = PairStudy(2, ("svdiff",), WAYS, prompts=3, seeds=1, sampling_steps=1, overrides=tuple(QUICK.items()))


@pytest.fixture(scope="module")
def base(tiny_base_folder: Path) -> Base:
    """Return the tiny base with toyland's name, so that toyland's recipes are used."""
    loaded = load_base(tiny_base_folder)
    return Base("toyland", loaded.family)


@pytest.fixture(scope="module")
def store(base: Base, tmp_path_factory: pytest.TempPathFactory) -> PairStudyFolder:
    return carry_out(STUDY, base, ColourRecogniser(), tmp_path_factory.mktemp("pairs"))


def test_every_way_has_a_row_for_every_pair(store: PairStudyFolder) -> None:
    rows = store.rows()
    assert {(row.pair, row.method, row.way) for row in rows} == {(p, "svdiff", way) for p in (0, 1) for way in WAYS}
    assert all(len(row.verdicts) == 3 and set(row.verdicts) <= set(VERDICTS) for row in rows)
    assert {row.same_class for row in rows if row.pair == 0} == {True}
    assert store.sheet(rows[0]).size == (32, 3 * 32)
    sheets = {store.sheet(row).tobytes() for row in rows if row.pair == 0}
    assert len(sheets) == len(WAYS), "every way makes its own pictures"


def test_what_is_done_is_kept(store: PairStudyFolder, base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = store.folder / "rows" / "001-svdiff-regional.json"
    before = json.loads(gone.read_text())
    gone.unlink()
    taught = []
    real = multi_subject.train
    monkeypatch.setattr(
        multi_subject, "train", lambda *args, **named: taught.append(args[1].token) or real(*args, **named)
    )
    monkeypatch.setattr(multi_subject, "train_several", lambda *args, **named: pytest.fail("trained again"))
    carry_out(STUDY, base, ColourRecogniser(), store.folder)
    assert taught == ["sks", "olo"]
    assert json.loads(gone.read_text())["verdicts"] == before["verdicts"]


def test_several_processes_make_the_same_rows(tiny_base_folder: Path, tmp_path: Path) -> None:
    study = PairStudy(1, ("svdiff", "lora"), ("joint",), 1, 1, 1, overrides=tuple(QUICK.items()))
    base = load_base(tiny_base_folder)
    recogniser = make_recogniser("toyland-identity")
    one, two = (carry_out(study, base, recogniser, tmp_path / str(n), workers=n) for n in (1, 2))
    assert len(one.rows()) == 2
    for mine, other in zip(one.rows(), two.rows(), strict=True):
        assert replace(mine, seconds=0) == replace(other, seconds=0)
        assert one.sheet(mine).tobytes() == two.sheet(other).tobytes()


def test_another_study_does_not_go_into_the_same_folder(store: PairStudyFolder, base: Base) -> None:
    other = PairStudy(2, ("svdiff",), WAYS, prompts=3, seeds=2, sampling_steps=1, overrides=tuple(QUICK.items()))
    with pytest.raises(BadConfig, match="holds another study: its pictures differs"):
        carry_out(other, base, ColourRecogniser(), store.folder)


def test_the_page_names_what_it_is_of_and_shows_its_picture(store: PairStudyFolder, tmp_path: Path) -> None:
    page, picture = write_report(store, tmp_path / "multi-subject.md")
    text = page.read_text()
    assert "2 pairs of identities" in text
    assert "3 prompts with 1 seeds, 1 denoiser steps" in text
    assert "| svdiff | cut-mix-unmix |" in text
    assert f"]({picture.name})" in text
    with Image.open(picture) as image:
        # Photos of both and five ways, for a pair of each sort, under a title.
        assert image.height > 14 * 96


def row(pair: int, way: multi_subject.Way, both: int) -> Row:
    verdicts = ("both",) * both + ("twice",) * (10 - both)
    return Row(pair, f"pair {pair}", pair % 2 == 0, "lora", way, verdicts, 12.0, 0.9)


def test_shares_gains_and_failures_are_those_of_the_rows() -> None:
    rows = [row(pair, "joint", 2) for pair in range(4)] + [row(pair, "cut-mix", 5 + pair) for pair in range(4)]
    facts = {"base": {"name": "toyland", "fingerprint": "abc"}, "pictures": {"seeds": 2, "steps": 25}}
    text = render_report(facts, rows, "grid.png")
    assert "| lora | joint | 20% (20% to 20%) | 20% (20% to 20%) | 20% (20% to 20%) | 4 |" in text
    assert "| lora | cut-mix | 0% | 0% | 35% | 0% | 0% | 12 |" in text
    gain = next(line for line in text.split("## Gain")[1].splitlines() if line.startswith("| lora | cut-mix |"))
    assert gain.split("|")[3].strip().startswith("+45 (")
    assert "this judge is right in 90% (90% to 90%)" in text


def test_prompts_of_training_and_of_the_study_differ_in_wording() -> None:
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
    ],
)
def test_studies_that_cannot_be_are_refused(settings: dict[str, Any], complaint: str) -> None:
    with pytest.raises(BadConfig, match=complaint):
        PairStudy(**settings)
