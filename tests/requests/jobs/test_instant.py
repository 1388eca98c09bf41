"""A prediction from a request in JSON to the adapter's file."""

import json
from pathlib import Path

import pytest
from painted_set import paint, paint_set
from PIL import Image
from small_hypernetworks import small_recipe

from portraitist.adapters import load_adapter
from portraitist.bases import load_base
from portraitist.errors import BadConfig, Stopped
from portraitist.hypernetworks.making import PredictorWorkshop
from portraitist.requests.handle import Handle, Progress
from portraitist.requests.instant import InstantRequest
from portraitist.requests.jobs import instant
from portraitist.requests.jobs.instant import Instant, InstantJob, InstantPlan
from portraitist.training.networks.machine import Machine


@pytest.fixture(scope="module")
def hypernetwork(tiny_base_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    base, folder = load_base(tiny_base_folder), tmp_path_factory.mktemp("instant")
    painted = paint_set(folder / "set", base)
    PredictorWorkshop(
        folder / "net", "portraitist", small_recipe(training={"steps": 1}), painted, base, Machine()
    ).train()
    return folder / "net"


def ask(hypernetwork: Path, folder: Path, **settings: object) -> InstantRequest:
    paint(1, 5, 32).save(folder / "photo.png")
    values = {
        "photos": [str(folder / "photo.png")],
        "class_noun": "robot",
        "output": str(folder / "robot.safetensors"),
        "hypernetwork": str(hypernetwork),
        "base": {"device": "cpu"},
    }
    return InstantRequest.from_json(json.dumps({**values, **settings}))


def test_a_prediction_is_planned_made_and_told_of(hypernetwork: Path, tmp_path: Path) -> None:
    job = InstantJob(ask(hypernetwork, tmp_path))
    assert (job.plan.photos, job.plan.refine, job.plan.guidance) == (1, 0, 1.0)
    assert InstantPlan.from_json(job.plan.to_json()) == job.plan
    assert [path.name for path in tmp_path.iterdir()] == ["photo.png"], "nothing is written before it is run"
    made = job.run()
    assert made.file == made.predicted == tmp_path / "robot.safetensors"
    assert made.parameters == load_adapter(made.file).count()
    assert made.prompt == "a photo of a sks robot on the beach"
    assert made.seconds < 5
    assert Instant.from_json(made.to_json()) == made


def test_a_refinement_is_told_of_and_stopped(hypernetwork: Path, tmp_path: Path) -> None:
    heard: list[Progress] = []
    made = InstantJob(ask(hypernetwork, tmp_path, refine=2)).run(Handle(heard.append))
    assert [(each.stage, each.done, each.total) for each in heard] == [("refining", 1, 2), ("refining", 2, 2)]
    assert load_adapter(made.predicted).count() < load_adapter(made.file).count()
    handle = Handle()
    handle.stop()
    with pytest.raises(Stopped):
        InstantJob(ask(hypernetwork, tmp_path, refine=2, overwrite=True)).run(handle)


def test_rank_by_timestep_is_asked_for(hypernetwork: Path, tmp_path: Path) -> None:
    job = InstantJob(ask(hypernetwork, tmp_path, refine=1, least_rank=1))
    assert job.refinement.least_rank == 1
    assert load_adapter(job.run().file).provenance.facts["refinement"]["least_rank"] == 1
    with pytest.raises(BadConfig, match="--least-rank 4 must be less than the rank that is trained, 4"):
        InstantJob(ask(hypernetwork, tmp_path, refine=1, least_rank=4, overwrite=True))


@pytest.mark.parametrize(("count", "said"), [(0, "photo.png shows no face"), (1, None), (2, "photo.png shows 2 faces")])
def test_faces_are_counted_where_something_finds_them(
    count: int, said: str | None, hypernetwork: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Detector:
        def find_all(self, image: Image.Image) -> list[int]:
            return [0] * count

    monkeypatch.setattr(instant, "load_detector", lambda name: Detector())
    lines = [advice.text for advice in InstantJob(ask(hypernetwork, tmp_path, detector="yunet.onnx")).advice]
    assert [line.partition(";")[0] for line in lines] == ([] if said is None else [said])


def test_a_base_without_a_hypernetwork_is_said(tiny_base_folder: Path, tmp_path: Path, hypernetwork: Path) -> None:
    base = {"name": str(tiny_base_folder), "device": "cpu"}
    request = ask(hypernetwork, tmp_path, base=base).model_copy(update={"hypernetwork": None})
    with pytest.raises(BadConfig, match="no hypernetwork ships for"):
        InstantJob(request)
