"""Running a study on a tiny base: real runs, resumed, recorded, the same wherever they are made."""

import io
import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import killed_runs
import numpy as np
import pytest
from PIL import Image

from portraitist.adapters import save_adapter
from portraitist.bases import Base
from portraitist.bases.examples import get_example
from portraitist.errors import BadConfig, BadFile, TrainingInterrupted
from portraitist.generation import SamplingConfig, generate
from portraitist.studies.grid.planning import plan, unique_specs
from portraitist.studies.makers import training
from portraitist.studies.runs import executors, running
from portraitist.studies.runs.engine import Prepared, default_workers, prepare, run_study
from portraitist.studies.runs.executors import EXECUTORS, run_local
from portraitist.studies.runs.scoring import Evidence, MetricInfo, RunScores
from portraitist.studies.runs.table import FILE, RunRecord, RunTable
from portraitist.training.personalise import train
from portraitist.training.recipes import Recipe
from portraitist.training.subjects import Subject
from portraitist.workers import find_executor

from ..conftest import small_study

SUBJECT = "cat-1b7ecd"
# krona's factors do not fit the tiny base, so its run fails.
RUNS: dict[str, Any] = {
    "subjects": [SUBJECT],
    "prompts": ["a photo of a {} on the beach", "a poster of a {}"],
    "pictures": 2,
    "fixed": {"steps": 2, "batch_size": 1, "prior": "none", "learning_rate": 0.05},
    "checkpoints": 2,
    "references": False,
    "grids": [{"name": "Methods", "methods": ["lora", "krona"]}],
}


def prepare_runs(folder: Path, base: Base, **changes: Any) -> Prepared:
    return prepare(small_study(**{**RUNS, "base": base.name, **changes}), folder)


@pytest.fixture(scope="module")
def finished(tiny_base: Base, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    prepared = prepare_runs(tmp_path_factory.mktemp("finished"), tiny_base)
    run_study(prepared)
    return prepared


def record_of(prepared: Prepared, method: str) -> RunRecord:
    (record,) = (record for record in prepared.table.records().values() if record.method == method)
    return record


def test_a_run_is_what_training_and_generating_give(finished: Prepared, tiny_base: Base, tmp_path: Path) -> None:
    record = record_of(finished, "lora")
    subject = Subject.from_folder(get_example(SUBJECT).folder, "cat", size=tiny_base.family.resolution)
    adapter = train(tiny_base, subject, Recipe.model_validate(record.spec["recipe"]))
    save_adapter(adapter, tmp_path / "adapter.safetensors")
    assert record.parameters == adapter.count()
    assert record.file_bytes == pytest.approx(
        (tmp_path / "adapter.safetensors").stat().st_size, abs=64
    )  # its seconds' digits
    prompts = ["a photo of a sks cat on the beach"] * 2 + ["a poster of a sks cat"] * 2
    config = SamplingConfig(steps=2)
    made = generate(tiny_base, prompts, adapter, seeds=[0, 1, 0, 1], config=config, show_progress=False)
    for index, picture in enumerate(made):
        with Image.open(finished.table.picture_path(record.key, f"subject-{index // 2:02d}-{index % 2}.png")) as kept:
            difference = np.asarray(kept).astype(int) - np.asarray(picture.image)
        assert np.abs(difference).max() <= 1
    assert set(record.scores) == {"colour_match", "class_colour_match", "spread"}


def test_the_curve_ends_at_the_finished_adapter(tiny_base: Base, tmp_path: Path) -> None:
    one_picture = prepare_runs(tmp_path, tiny_base, pictures=1, grids=[{"name": "Methods", "methods": ["lora"]}])
    run_study(one_picture)
    record = record_of(one_picture, "lora")
    assert [point.step for point in record.curve] == [1, 2]
    assert record.curve[-1].seconds == record.training_seconds
    assert record.curve[-1].scores["colour_match"] == pytest.approx(record.scores["colour_match"])
    assert record.curve[0].scores != record.curve[1].scores


def test_references_are_the_base_and_the_photos(tiny_base: Base, tmp_path: Path) -> None:
    prepared = prepare_runs(tmp_path, tiny_base, references=True, grids=[{"name": "Methods", "methods": ["lora"]}])
    lora, photos, base = prepared.specs
    scored = {spec.method: running.execute(spec) for spec in (photos, base)}
    assert scored["photos"].scores.keys() == {"colour_match"}
    assert 0.05 < scored["photos"].scores["colour_match"] < 1.0
    assert scored["photos"].pictures == {}
    assert scored["base"].scores.keys() == {"colour_match", "class_colour_match", "spread"}
    assert scored["base"].parameters is None
    prompts = ["a photo of a cat on the beach", "a poster of a cat"]
    made = generate(tiny_base, prompts, seeds=[0, 0], config=SamplingConfig(steps=2), show_progress=False)
    for index, picture in enumerate(made):
        with Image.open(io.BytesIO(scored["base"].pictures[f"subject-{index:02d}-0.png"])) as kept:
            assert np.abs(np.asarray(kept).astype(int) - np.asarray(picture.image)).max() <= 1
    alone = replace(photos, photos=str(tmp_path / "one"))
    (tmp_path / "one").mkdir()
    shutil.copy(next(get_example(SUBJECT).folder.glob("*.png")), tmp_path / "one")
    assert running.execute(alone).scores == {}
    assert running.execute(replace(lora, photos=str(tmp_path / "none"))).status == "failed"


def test_a_failure_is_recorded_and_the_rest_goes_on(finished: Prepared) -> None:
    record = record_of(finished, "krona")
    assert record.status == "failed"
    assert "factors (4, 64) do not divide" in record.error
    assert record.scores == {}
    assert record_of(finished, "lora").status == "done"


def test_what_is_done_is_not_done_again(finished: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def count(specs: Any, workers: int, device: str) -> Any:
        made.extend(spec.recipe["method"] for spec in specs)
        return iter(())

    monkeypatch.setitem(EXECUTORS, "local", count)
    run_study(finished)
    assert made == []
    run_study(finished, retry_failed=True)
    assert made == ["krona"]


def test_an_interrupted_run_leaves_no_row(tiny_base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared = prepare_runs(tmp_path, tiny_base)

    def stop(*arguments: Any, **settings: Any) -> None:
        raise TrainingInterrupted("step 1 of 2", None)

    monkeypatch.setattr(training, "train", stop)
    with pytest.raises(KeyboardInterrupt):
        run_study(prepared)
    assert prepared.table.records() == {}
    assert len(prepared.missing()) == 2


def test_an_error_nobody_foresaw_is_kept_in_one_line(finished: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any, **settings: Any) -> None:
        raise RuntimeError("out of\n  memory")

    monkeypatch.setattr(training, "train", fail)
    outcome = running.execute(finished.specs[0])
    assert (outcome.status, outcome.error) == ("failed", "RuntimeError: out of memory")


def test_the_folder_of_another_study_is_refused(finished: Prepared, tiny_base: Base) -> None:
    folder = finished.table.folder
    facts = finished.table.facts()
    with pytest.raises(BadConfig, match=r"holds the study '.*', not 'Another'; choose another folder with -o"):
        prepare_runs(folder, tiny_base, title="Another")
    assert finished.table.facts() == facts


def test_another_base_under_the_same_name_is_refused(finished: Prepared) -> None:
    outcome = running.execute(replace(finished.specs[0], fingerprint="0" * 16))
    assert outcome.status == "failed"
    assert "has fingerprint" in outcome.error
    other = running.execute(replace(finished.specs[0], scorer_digest="0" * 16))
    assert "other encoders" in other.error


@pytest.mark.parametrize("count", [1, 3])
def test_photos_can_be_left_out(finished: Prepared, tiny_base: Base, count: int) -> None:
    spec = replace(finished.specs[0], photo_count=count)
    assert len(running.read_subject(spec, tiny_base).photos) == count
    with pytest.raises(BadConfig, match="has 5 photos, but 9"):
        running.read_subject(replace(spec, photo_count=9), tiny_base)


def test_other_processes_make_the_same_runs(finished: Prepared, tiny_base: Base, tmp_path: Path) -> None:
    again = prepare_runs(tmp_path, tiny_base, grids=[{"name": "Methods", "methods": ["lora"]}])
    run_study(again, workers=2)
    assert record_of(again, "lora").scores == pytest.approx(record_of(finished, "lora").scores, abs=1e-3)


def test_a_run_whose_process_is_killed_is_made_again_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors, "execute", killed_runs.die_or_not)
    specs: Any = [str(tmp_path / "unlucky"), "doomed"]
    unlucky, doomed = sorted(run_local(specs, 2, "cpu"), key=lambda outcome: outcome.status)
    assert (unlucky.spec, unlucky.status) == (specs[0], "done")
    assert (doomed.spec, doomed.status) == ("doomed", "failed")
    assert "killed twice" in doomed.error


def test_a_ray_cluster_makes_the_same_runs(finished: Prepared, tiny_base: Base, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    again = prepare_runs(tmp_path, tiny_base, grids=[{"name": "Methods", "methods": ["lora"]}])
    run_study(again, "ray", workers=1)
    assert record_of(again, "lora").scores == pytest.approx(record_of(finished, "lora").scores, abs=1e-3)


def test_an_unknown_executor_is_named() -> None:
    with pytest.raises(BadConfig, match="local, ray"):
        find_executor("cloud", EXECUTORS)


def test_an_accelerator_gets_one_run_at_once() -> None:
    assert default_workers("cuda") == 1
    assert default_workers("cpu") >= 1


def test_a_file_that_is_no_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("this is no table, though it is long enough to be one" * 100)
    with pytest.raises(BadFile, match="choose another folder"):
        RunTable(tmp_path)


def test_a_table_of_an_earlier_version_is_refused_with_the_way_on(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.execute("CREATE TABLE runs (key TEXT, size INTEGER)")
    with pytest.raises(BadFile, match=f"no such column: .*; choose .* -o, and take .* over with --from {tmp_path}"):
        RunTable(tmp_path)


def test_the_table_is_plain_sqlite(finished: Prepared) -> None:
    with sqlite3.connect(finished.table.folder / FILE) as connection:
        query = "SELECT method, json_extract(scores, '$.colour_match') FROM runs WHERE status = 'done'"
        rows = connection.execute(query).fetchall()
    assert rows == [("lora", record_of(finished, "lora").scores["colour_match"])]


def test_every_prompt_has_its_own_scores(finished: Prepared) -> None:
    record = record_of(finished, "lora")
    (values,) = record.prompt_scores.values()
    assert len(values) == len(RUNS["prompts"])
    assert np.mean(values) == pytest.approx(record.scores["colour_match"])


def test_a_table_of_an_earlier_version_is_read_and_written(finished: Prepared, tmp_path: Path) -> None:
    shutil.copy(finished.table.folder / FILE, tmp_path / FILE)
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.execute("ALTER TABLE runs DROP COLUMN prompt_scores")
    earlier = {key: replace(record, prompt_scores={}) for key, record in finished.table.records().items()}
    assert RunTable(tmp_path).records() == earlier
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.execute("ALTER TABLE runs DROP COLUMN prompt_scores")
        connection.execute("ALTER TABLE runs DROP COLUMN curve")
    with pytest.raises(BadFile, match="cannot be used as a study's table"):
        RunTable(tmp_path)
    with sqlite3.connect(tmp_path / FILE) as connection:
        columns = {row[1] for row in connection.execute("PRAGMA table_info(runs)")}
    assert "prompt_scores" not in columns, "what is no table of runs is left as it is"


class Counting:
    """A scorer that says which photos it was shown."""

    def __init__(self) -> None:
        self.photos: list[int] = []

    def identity(self) -> dict[str, str]:
        return {"scorer": "counting"}

    def metrics(self) -> tuple[MetricInfo, ...]:
        return (MetricInfo("seen", "Seen", "subject"),)

    def score(self, evidence: Evidence) -> RunScores:
        self.photos.append(len(evidence.photos))
        return RunScores({"seen": float(len(evidence.photos))})

    def features(self, images: object) -> None:
        """Judge no sets."""


def test_pictures_can_be_judged_by_photos_that_are_not_used(tiny_base: Base) -> None:
    changes = {"base": tiny_base.name, "judged_by": "others", "fixed": {**RUNS["fixed"], "photos": 1}}
    study = small_study(**{**RUNS, **changes, "references": True, "checkpoints": 1, "grids": RUNS["grids"][:1]})
    scorer = Counting()
    specs = {spec.method: spec for spec in unique_specs(plan(study, tiny_base, scorer.identity()))}
    assert running.run(specs["lora"], tiny_base, scorer).scores == {"seen": 4.0}
    assert running.score_base(specs["base"], tiny_base, scorer).scores == {"seen": 4.0}
    assert running.score_photos(specs["photos"], tiny_base, scorer).scores == {"seen": 4.0}
    assert scorer.photos == [4, 4, 4, 4], "the curve's too"
    with pytest.raises(BadConfig, match="photos that are not used"):
        plan(study.model_copy(update={"fixed": RUNS["fixed"]}), tiny_base, scorer.identity())


def test_subjects_are_drawn_into_the_folder_and_metrics_without_encoder_left_out(
    tiny_base: Base, tmp_path: Path
) -> None:
    changes = {
        "subjects": {"each": 0, "counts": {"cat": 1}, "photos": 2},
        "scorer": "toyland",
        "metrics": ["face_sim", "feature_sim"],
        "spare_metrics": ["feature_sim"],
        "encoders": {"features": "nobody/nowhere"},
        "grids": [{"name": "Methods", "methods": ["lora"]}],
    }
    prepared = prepare_runs(tmp_path, tiny_base, **changes)
    (spec,) = prepared.specs
    assert Path(spec.photos).parent == tmp_path / "subjects"
    assert (spec.class_noun, spec.metrics) == ("cat", ("face_sim",))
    assert prepared.table.facts()["licences"]
    assert [each.key for each in prepare_runs(tmp_path, tiny_base, **changes).specs] == [spec.key]
