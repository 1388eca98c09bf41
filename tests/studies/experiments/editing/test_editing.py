"""The editing study on an untrained base: its edits, its scores, its resuming, its report."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from portraitist.bases import Base, load_base
from portraitist.errors import BadConfig
from portraitist.evaluation.encoders import Encoder, load_encoder
from portraitist.studies.experiments.editing.edits import KINDS_OF_EDIT, KnownEdit, draw_edits
from portraitist.studies.experiments.editing.report import (
    ANSWER,
    RESTORED,
    UNEDITED,
    ScoredEdit,
    _findings,
    score_study,
    write_editing_report,
)
from portraitist.studies.experiments.editing.scores import EditScores, score_edits
from portraitist.studies.experiments.editing.study import EditingStudy, default_recipes, default_variants
from portraitist.toyland.judges.examiner import Examiner


@pytest.fixture(scope="module")
def base(tiny_base_folder: Path) -> Base:
    return load_base(tiny_base_folder)


@pytest.fixture(scope="module")
def examiner() -> Examiner:
    return Examiner.load()


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return load_encoder("toyland-identity")


def new_study(base: Base, folder: Path, count: int = 5) -> EditingStudy:
    settings = {"steps": 1, "layers": "UNet-CA", "batch_size": 1}
    edits = draw_edits(per_kind=1)[:count]
    return EditingStudy(
        base, edits, default_variants(("svdiff",), 2), default_recipes(base, ("svdiff",), settings), folder
    )


def test_forty_edits_change_one_thing_each() -> None:
    edits = draw_edits()
    assert len(edits) == 40
    assert {known.kind for known in edits} == set(KINDS_OF_EDIT)
    for known in edits:
        before, after = known.before, known.after
        assert known.source != known.target
        assert all(subject.identity.split == "test" for subject in before.subjects)
        assert (before.scene == after.scene) == (known.kind != "scene")
        assert (before.style == after.style) == (known.kind != "style")
        assert (len(before.subjects) == len(after.subjects)) == (known.kind != "removal")
        assert before.seed == after.seed
    assert draw_edits() == edits
    others = draw_edits(per_kind=1, split="validation")
    assert {subject.identity.split for known in others for subject in known.before.subjects} == {"validation"}


@pytest.mark.parametrize("known", draw_edits(per_kind=2), ids=lambda known: known.name)
def test_the_true_answer_scores_full_and_the_unedited_picture_nothing(
    known: KnownEdit, examiner: Examiner, encoder: Encoder
) -> None:
    before, after = known.pictures(64)
    answer, unedited, halfway = score_edits(
        [known] * 3, [after, before, Image.blend(before, after, 0.5)], examiner, encoder
    )
    assert (answer.gain, unedited.gain) == (1, 0)
    assert (answer.recognised, unedited.recognised) == (1, 0)
    assert unedited.unchanged_error in (0, None)
    assert answer.unchanged_error is None or answer.unchanged_error < 8 / 255
    assert halfway.gain == pytest.approx(0.5, abs=0.02)
    assert answer.identity == pytest.approx(1, abs=1e-5)
    assert unedited.identity < 1
    wanted = (None, None) if known.kind in ("accessory", "removal") else (1, 0)
    assert (answer.read, unedited.read) == wanted


def test_a_study_is_resumed_and_reported(base: Base, examiner: Examiner, encoder: Encoder, tmp_path: Path) -> None:
    study = new_study(base, tmp_path / "run")
    with pytest.raises(BadConfig, match="run the study first"):
        score_study(study, examiner, encoder)
    new_study(base, tmp_path / "run", count=2).run()
    early = study.picture_path(study.edits[0], study.variants[0])
    written = early.stat().st_mtime_ns
    study.run()
    assert early.stat().st_mtime_ns == written
    assert all(study.result(known, variant) is not None for known in study.edits for variant in study.variants)
    rows = {row.name: row for row in score_study(study, examiner, encoder)}
    references = [UNEDITED, UNEDITED + RESTORED], [ANSWER + RESTORED, ANSWER]
    assert list(rows) == [*references[0], *(variant.name for variant in study.variants), *references[1]]
    assert rows[ANSWER + RESTORED].values("unchanged_error") > rows[ANSWER].values("unchanged_error")
    assert np.mean(rows[ANSWER].values("gain")) == 1
    page, grid = write_editing_report(study, tmp_path / "report", examiner, encoder)
    text = page.read_text()
    headings = ("target recognised", "target read", "svdiff, inverted", "SDEdit 0.5", "| accessory | removal |")
    for heading in (*headings, "| svdiff, inverted - svdiff, new noise |", "| no learning, inverted - SDEdit 0.7 |"):
        assert heading in text, heading
    assert "| closeness to the answer |\n" in text, "the last column"
    assert f"]({grid.name})" in text
    with Image.open(grid) as image:
        assert image.format == "WEBP"
        assert image.width > (len(study.variants) + 2) * 96


def test_the_best_is_named_with_what_is_within_noise_of_it() -> None:
    edits = draw_edits(per_kind=8)
    gains = {"far": [0.5, 0.6], "near": [0.6, 0.49], "nowhere": [0.0, 0.1]}
    rows = [
        ScoredEdit(
            name, edits, [EditScores(0, None, values[index % 2], 1 - values[0], 0) for index in range(len(edits))]
        )
        for name, values in gains.items()
    ]
    gain, error = _findings(rows, ["gain", "unchanged_error"])
    assert gain == "- Closeness to the answer: best with far, 0.55 (0.53 to 0.57). Within noise of it: near."
    assert error == "- Error where nothing should change: best with near, 0.40 (0.40 to 0.40)."
    (few,) = _findings([ScoredEdit(row.name, edits[:4], row.scores[:4]) for row in rows], ["gain"])
    assert few.endswith("With 4 edits, no difference can be told from noise; that takes 6 or more.")


def test_several_processes_make_the_same_pictures(base: Base, tmp_path: Path) -> None:
    one, two = (new_study(base, tmp_path / str(n), count=2) for n in (1, 2))
    one.run()
    two.run(workers=2)
    for known in one.edits:
        for variant in one.variants:
            made = [study.result(known, variant) for study in (one, two)]
            assert None not in made
            assert made[0] == made[1]


def test_a_picture_made_with_other_settings_is_made_again(base: Base, tmp_path: Path) -> None:
    study = new_study(base, tmp_path, count=1)
    study.run()
    other = EditingStudy(base, study.edits, study.variants, study.recipes, tmp_path, seed=1)
    assert all(other.result(known, variant) is None for known in other.edits for variant in other.variants)
    study.picture_path(study.edits[0], study.variants[0]).write_bytes(json.dumps({}).encode())
    assert study.result(study.edits[0], study.variants[0]) is None
