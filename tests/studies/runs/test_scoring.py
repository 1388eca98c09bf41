"""Scorers: colours against values worked out by hand, and the evaluation's metrics inside a real run."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from portraitist.bases import Base
from portraitist.errors import BadConfig
from portraitist.evaluation.encoders import PictureNetwork, save_small
from portraitist.evaluation.metrics import frechet_distance
from portraitist.studies.report.analysis import analyse
from portraitist.studies.report.writing import write_report
from portraitist.studies.runs.engine import prepare, run_study, take_over
from portraitist.studies.runs.running import FEATURES
from portraitist.studies.runs.scoring import ColourScorer, EncoderScorer, Evidence, make_scorer
from portraitist.studies.runs.table import RunTable

from ..conftest import small_study

RED, BLUE = (255, 0, 0), (0, 0, 255)


def plain(*colours: tuple[int, int, int]) -> Image.Image:
    """Return a picture of vertical stripes of equal width."""
    pixels = np.array([[colour for colour in colours for _ in range(4)]] * 4, dtype=np.uint8)
    return Image.fromarray(pixels)


def test_colours_match_by_the_share_they_have_in_common() -> None:
    evidence = Evidence(
        "one",
        photos=[plain(RED), plain(RED, BLUE)],
        prompts=["a", "a"],
        pictures=[plain(RED, BLUE), plain(BLUE, RED)],
        class_pictures=[plain(BLUE)],
    )
    scored = ColourScorer().score(evidence)
    scores = scored.values
    assert scored.per_picture == {"colour_match": pytest.approx([0.75, 0.75])}
    assert scores["colour_match"] == pytest.approx((0.5 + 1.0) / 2)
    assert scores["class_colour_match"] == pytest.approx((0.0 + 0.5) / 2)
    assert scores["spread"] == pytest.approx(2 / 3)  # two of three channels change in every pixel


def test_what_the_evidence_does_not_allow_is_left_out() -> None:
    scores = ColourScorer().score(Evidence("one", [plain(RED)], ["a", "b"], [plain(RED), plain(BLUE)])).values
    assert set(scores) == {"colour_match"}


@pytest.fixture(scope="module")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return random encoders: good for plumbing, meaningless as measures."""
    folder = tmp_path_factory.mktemp("encoders")
    for seed in (0, 1):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            save_small(folder / str(seed), PictureNetwork((8, 16), 16), 32, {})
    return {role: str(folder / "0") for role in ("dino", "clip", "identity", "perceptual")}


def test_a_run_is_scored_by_the_encoders_and_their_identity_is_kept(
    encoders: dict[str, str], tiny_base: Base, tmp_path: Path
) -> None:
    settings = {
        "base": tiny_base.name,
        "scorer": "toyland",
        "encoders": encoders,
        "metrics": ["face_sim", "clip_i", "pres", "div"],
        "subjects": ["cat-1b7ecd"],
        "prompts": ["a photo of a {}"],
        "pictures": 2,
        "checkpoints": 0,
        "references": False,
        "fixed": {"steps": 1, "batch_size": 1, "prior": "none"},
        "grids": [{"name": "Methods", "methods": ["lora"]}],
    }
    prepared = prepare(small_study(**settings), tmp_path)
    run_study(prepared)
    (row,) = prepared.table.records().values()
    assert row.status == "done", row.error
    assert {"face_sim", "clip_i", "pres", "div"} <= set(row.scores)
    assert row.scores["face_sim"] == pytest.approx(row.scores["clip_i"])  # the same random network in both roles
    assert encoders["dino"] in RunTable(tmp_path).facts()["scorer"]["dino"]
    assert [metric.aspect for metric in prepared.scorer.metrics()] == ["subject", "subject", "drift", "diversity"]
    other = prepare(
        small_study(**{**settings, "encoders": {**encoders, "dino": encoders["dino"][:-1] + "1"}}), tmp_path
    )
    assert len(other.missing()) == 1


def test_pictures_of_all_subjects_are_judged_together(
    encoders: dict[str, str], tiny_base: Base, tmp_path: Path
) -> None:
    settings = {
        "base": tiny_base.name,
        "scorer": "toyland",
        "encoders": {**encoders, "inception": encoders["dino"]},
        "metrics": ["clip_i", "fid"],
        "subjects": ["cat-1b7ecd", "robot-6f3f5f"],
        "prompts": ["a photo of a {}", "a poster of a {}"],
        "checkpoints": 0,
        "fixed": {"steps": 1, "batch_size": 1, "prior": "none", "photos": 1},
        "judged_by": "others",
        "grids": [{"name": "Methods", "methods": ["lora"]}],
    }
    prepared = prepare(small_study(**settings), tmp_path / "study")
    run_study(prepared)
    result = analyse(prepared)
    (grid,) = result.grids
    assert [metric.name for metric in grid.metrics] == ["clip_i", "fid"]
    files = [prepared.table.picture_path(run.key, FEATURES) for run in grid.variants[0].runs.values()]
    features = [load_file(file) for file in files]
    assert [len(each["pictures"]) for each in features] == [2, 2]
    pictures, photos = (torch.cat([each[name].float() for each in features]) for name in ("pictures", "photos"))
    found = grid.variants[0].interval("fid")
    assert found is not None
    assert found.mean == pytest.approx(frechet_distance(pictures, photos), abs=1e-4)
    untrained = next(each for each in grid.references if each.method == "base")
    assert untrained.interval("fid") is not None
    again = prepare(small_study(**settings), tmp_path / "again")
    write_report(prepared)
    take_over(again, tmp_path / "study")
    assert analyse(again).grids[0].variants[0].of_set == grid.variants[0].of_set


def test_fid_needs_more_pictures_than_a_run_makes(encoders: dict[str, str]) -> None:
    assert EncoderScorer(encoders, ["clip_i", "fid"], "cpu").names == ("clip_i",)


def test_an_unknown_scorer_is_named() -> None:
    with pytest.raises(BadConfig, match="colours needs no encoders"):
        make_scorer("nobody")
