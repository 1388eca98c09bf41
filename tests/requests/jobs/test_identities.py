"""A set of identities from a request in JSON to what is there of it."""

import json
from pathlib import Path

import pytest
from drawn_photos import save_photos

from portraitist.errors import BadConfig, Stopped
from portraitist.hypernetworks.identities.identity_set import IdentitySet
from portraitist.requests.handle import Handle, Progress
from portraitist.requests.identities import IdentitiesRequest
from portraitist.requests.jobs.identities import IdentitiesJob, IdentitiesMade, IdentitiesPlan


def ask(base: Path, output: Path, **values: object) -> IdentitiesRequest:
    plain = {"source": "toyland:cats", "count": 2, "photos": 2, "base": {"name": str(base), "device": "cpu"}}
    return IdentitiesRequest.from_json(json.dumps({**plain, "output": str(output), **values}))


def test_a_set_is_planned_made_and_told_of(tiny_base_folder: Path, tmp_path: Path) -> None:
    settings = {"method_config": {"a": 8, "b": 4}, "batch_size": 1}
    job = IdentitiesJob(ask(tiny_base_folder, tmp_path / "set", target="lidb", steps=1, settings=settings, bank_size=2))
    assert not list(tmp_path.iterdir()), "nothing is written before it is run"
    assert (job.plan.identities, job.plan.kinds, job.plan.split, job.plan.resolution) == (2, ("cat",), "train", 32)
    assert job.plan.target is not None
    assert (job.plan.target.method, job.plan.target.steps, job.plan.target.prior) == ("lidb", 1, "none")
    assert IdentitiesPlan.from_json(job.plan.to_json()) == job.plan

    heard: list[Progress] = []
    made = job.run(Handle(heard.append))
    assert [(each.stage, each.done, each.total) for each in heard] == [
        ("making photos", 2, 2),
        ("training targets", 2, 2),
    ]
    assert (made.identities, made.wanted, made.photos, made.targets, made.finished) == (2, 2, 4, 2, True)
    assert set(made.seconds_each) == {"photos", "latents", "features", "targets"}
    assert made.papers_seconds == pytest.approx(15_000 * sum(made.seconds_each.values()))
    assert IdentitiesMade.from_json(made.to_json()) == made
    with pytest.raises(BadConfig, match="made with seed 0, not 1"):
        IdentitiesJob(ask(tiny_base_folder, tmp_path / "set", target="lidb", steps=1, settings=settings, seed=1))


def test_a_folder_of_folders_becomes_a_set(tiny_base_folder: Path, tmp_path: Path) -> None:
    for name in ("rex", "bello"):
        save_photos(tmp_path / "dogs" / name, 3)
    (tmp_path / "dogs" / "nobody").mkdir()
    values = {"source": str(tmp_path / "dogs"), "class_noun": "dog", "count": None, "photos": 6, "encoders": []}
    made = IdentitiesJob(ask(tiny_base_folder, tmp_path / "set", **values)).run()
    assert (made.identities, made.photos, made.good) == (3, 6, 1)
    flags = {entry.key: entry.flags for entry in IdentitySet.open(tmp_path / "set")}
    assert flags == {"bello": (), "nobody": ("none of its photos can be used",), "rex": ("looks like bello",)}


def test_a_set_is_stopped_and_gone_on_with(tiny_base_folder: Path, tmp_path: Path) -> None:
    request = ask(tiny_base_folder, tmp_path / "set", count=70, photos=1, encoders=[])
    handle = Handle(lambda progress: handle.stop())
    with pytest.raises(Stopped, match="stopped while making photos, after 64 of 70"):
        IdentitiesJob(request).run(handle)
    assert len(IdentitySet.open(tmp_path / "set")) == 64
    assert IdentitiesJob(request).run().finished
