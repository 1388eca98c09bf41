"""Carrying out a study on a tiny base: real runs, resumed, recorded, the same wherever they are made."""

import io
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from portraitist.adapters import save_adapter
from portraitist.bases import Base
from portraitist.bases.examples import get_example
from portraitist.errors import BadConfig, BadFile, TrainingInterrupted
from portraitist.generation import SamplingConfig, generate
from portraitist.studies.runs import executors, running
from portraitist.studies.runs.engine import Prepared, carry_out, default_workers, prepare
from portraitist.studies.runs.executors import EXECUTORS, get_executor, run_local
from portraitist.studies.runs.table import FILE, Row, Table
from portraitist.training.personalise import train
from portraitist.training.recipes import Recipe
from portraitist.training.subjects import Subject

from ..conftest import small_study

SUBJECT = "cat-9d39d7"
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
    carry_out(prepared)
    return prepared


def row_of(prepared: Prepared, method: str) -> Row:
    (row,) = (row for row in prepared.table.rows().values() if row.method == method)
    return row


def test_a_run_is_what_training_and_generating_give(finished: Prepared, tiny_base: Base, tmp_path: Path) -> None:
    row = row_of(finished, "lora")
    subject = Subject.from_folder(get_example(SUBJECT).folder, "cat", size=tiny_base.family.resolution)
    adapter = train(tiny_base, subject, Recipe.model_validate(row.spec["recipe"]))
    save_adapter(adapter, tmp_path / "adapter.safetensors")
    assert row.parameters == adapter.count()
    assert row.size == pytest.approx((tmp_path / "adapter.safetensors").stat().st_size, abs=64)  # its seconds' digits
    prompts = ["a photo of a sks cat on the beach"] * 2 + ["a poster of a sks cat"] * 2
    config = SamplingConfig(steps=2)
    made = generate(tiny_base, prompts, adapter, seeds=[0, 1, 0, 1], config=config, show_progress=False)
    for index, picture in enumerate(made):
        with Image.open(finished.table.picture_path(row.key, f"subject-{index // 2:02d}-{index % 2}.png")) as kept:
            difference = np.asarray(kept).astype(int) - np.asarray(picture.image)
        assert np.abs(difference).max() <= 1
    assert set(row.scores) == {"colour_match", "class_colour_match", "spread"}


def test_the_curve_ends_at_the_finished_adapter(tiny_base: Base, tmp_path: Path) -> None:
    one_picture = prepare_runs(tmp_path, tiny_base, pictures=1, grids=[{"name": "Methods", "methods": ["lora"]}])
    carry_out(one_picture)
    row = row_of(one_picture, "lora")
    assert [point.step for point in row.curve] == [1, 2]
    assert row.curve[-1].seconds == row.training_seconds
    assert row.curve[-1].scores["colour_match"] == pytest.approx(row.scores["colour_match"])
    assert row.curve[0].scores != row.curve[1].scores


def test_references_are_the_base_and_the_photos(tiny_base: Base, tmp_path: Path) -> None:
    prepared = prepare_runs(tmp_path, tiny_base, references=True, grids=[{"name": "Methods", "methods": ["lora"]}])
    lora, photos, base = prepared.specs
    scored = {spec.method: running.execute(spec) for spec in (photos, base)}
    assert scored["photos"].scores.keys() == {"colour_match"}
    assert 0.2 < scored["photos"].scores["colour_match"] < 1.0
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
    row = row_of(finished, "krona")
    assert row.status == "failed"
    assert "factors (4, 64) do not divide" in row.error
    assert row.scores == {}
    assert row_of(finished, "lora").status == "done"


def test_what_is_done_is_not_done_again(finished: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def count(specs: Any, workers: int, device: str) -> Any:
        made.extend(spec.recipe["method"] for spec in specs)
        return iter(())

    monkeypatch.setitem(EXECUTORS, "local", count)
    carry_out(finished)
    assert made == []
    carry_out(finished, retry_failed=True)
    assert made == ["krona"]


def test_an_interrupted_run_leaves_no_row(tiny_base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared = prepare_runs(tmp_path, tiny_base)

    def stop(*arguments: Any, **settings: Any) -> None:
        raise TrainingInterrupted("step 1 of 2", None)

    monkeypatch.setattr(running, "train", stop)
    with pytest.raises(KeyboardInterrupt):
        carry_out(prepared)
    assert prepared.table.rows() == {}
    assert len(prepared.missing()) == 2


def test_an_error_nobody_foresaw_is_kept_in_one_line(finished: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any, **settings: Any) -> None:
        raise RuntimeError("out of\n  memory")

    monkeypatch.setattr(running, "train", fail)
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
    with pytest.raises(BadConfig, match="has 5 photos, and 9"):
        running.read_subject(replace(spec, photo_count=9), tiny_base)


def test_other_processes_make_the_same_runs(finished: Prepared, tiny_base: Base, tmp_path: Path) -> None:
    again = prepare_runs(tmp_path, tiny_base, grids=[{"name": "Methods", "methods": ["lora"]}])
    carry_out(again, workers=2)
    assert row_of(again, "lora").scores == pytest.approx(row_of(finished, "lora").scores, abs=1e-3)


def test_a_process_that_is_ended_fails_its_run_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that becomes /bin/false is as good as killed."""
    monkeypatch.setattr(executors, "execute_alone", os.execv)
    specs: Any = ["/bin/false"] * 3
    device: Any = ["false"]
    outcomes = list(run_local(specs, 2, device))
    assert [outcome.status for outcome in outcomes] == ["failed"] * 3
    assert all("ended from outside" in outcome.error for outcome in outcomes)


def test_a_ray_cluster_makes_the_same_runs(finished: Prepared, tiny_base: Base, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    again = prepare_runs(tmp_path, tiny_base, grids=[{"name": "Methods", "methods": ["lora"]}])
    carry_out(again, "ray", workers=1)
    assert row_of(again, "lora").scores == pytest.approx(row_of(finished, "lora").scores, abs=1e-3)


def test_an_unknown_executor_is_named() -> None:
    with pytest.raises(BadConfig, match="local, ray"):
        get_executor("cloud")


def test_an_accelerator_gets_one_run_at_once() -> None:
    assert default_workers("cuda") == 1
    assert default_workers("cpu") >= 1


def test_a_file_that_is_no_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("this is no table, though it is long enough to be one" * 100)
    with pytest.raises(BadFile, match="choose another folder"):
        Table(tmp_path)


def test_the_table_is_plain_sqlite(finished: Prepared) -> None:
    with sqlite3.connect(finished.table.folder / FILE) as connection:
        query = "SELECT method, json_extract(scores, '$.colour_match') FROM runs WHERE status = 'done'"
        rows = connection.execute(query).fetchall()
    assert rows == [("lora", row_of(finished, "lora").scores["colour_match"])]


_POOL = """
import multiprocessing, os, time
from concurrent.futures import ProcessPoolExecutor
from portraitist.studies.runs.executors import begin_worker

if __name__ == "__main__":
    pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), begin_worker)
    print(pool.submit(os.getpid).result(), flush=True)
    time.sleep(600)
"""


def test_workers_end_with_the_process_that_started_them(tmp_path: Path) -> None:
    script = tmp_path / "pool.py"
    script.write_text(_POOL)
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        parent.kill()
    for _ in range(100):
        if not _is_running(worker):
            return
        time.sleep(0.1)
    os.kill(worker, signal.SIGKILL)
    pytest.fail("the worker outlived its parent by ten seconds")


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text() if Path("/proc").exists() else True
