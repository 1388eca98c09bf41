"""Adapters that a network predicts, trained on from, and started from: each is what its settings say."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from painted_set import paint

from portraitist.adapters import Adapter
from portraitist.bases import Base
from portraitist.errors import BadConfig
from portraitist.hypernetworks.identities.identity_set import IdentitySet
from portraitist.studies.grid.drawing import DrawnSubjects
from portraitist.studies.grid.folders import supply
from portraitist.studies.grid.planning import plan, unique_specs
from portraitist.studies.grid.study import load_study
from portraitist.studies.makers import Made, find_maker
from portraitist.studies.makers.predictions import PredictionSettings, gallery_of
from portraitist.training.subjects import Subject

SUBJECT = Subject("red", "cat", "sks", (paint(0, 7, 32),), (Path("red.png"),))


def make(base: Base, method: str, calls: list[int] | None = None, **settings: Any) -> Made:
    maker = find_maker(method)
    resolved = maker.resolve(method, base, {"seed": 0, **settings})
    return maker.make(base, SUBJECT, resolved, [] if calls is None else [calls.append])


def values(adapter: Adapter) -> torch.Tensor:
    return torch.cat([value.detach().flatten() for _, value in sorted(adapter.named_parameters().items())])


def test_every_photo_gives_an_adapter_of_its_own(tiny_base: Base, network: Path, painted_folder: Path) -> None:
    given = {"hypernetwork": str(network), "identities": str(painted_folder)}
    found = {seen: make(tiny_base, "instant", seen=seen, **given) for seen in ("own", "another", "mean", "nearest")}
    assert len({made.adapter.method.name for made in found.values()}) == 1
    own = values(found["own"].adapter)
    assert not any(torch.equal(own, values(found[seen].adapter)) for seen in ("another", "mean", "nearest"))
    measured = found["own"].measures["nearest_adapter"]
    assert -1 <= measured <= 1
    assert not found["mean"].measures
    assert all(0 < made.seconds < 30 for made in found.values())


def test_the_most_similar_identity_is_the_one_of_the_same_photo(
    tiny_base: Base, network: Path, painted_folder: Path
) -> None:
    settings = PredictionSettings(
        method="instant", seed=0, hypernetwork=str(network), identities=str(painted_folder), weights="w", members="m"
    )
    gallery = gallery_of(settings, tiny_base)
    assert gallery.class_nouns == ("cat", "robot", "cat", "robot")
    picture = gallery.picture(2)
    subject = Subject("known", "cat", "sks", (picture,), (Path("known.png"),))
    maker = find_maker("instant")
    given = {"hypernetwork": str(network), "identities": str(painted_folder), "seed": 0}
    own, nearest = (
        maker.make(tiny_base, subject, maker.resolve("instant", tiny_base, {**given, "seen": seen}), [])
        for seen in ("own", "nearest")
    )
    assert torch.equal(values(own.adapter), values(nearest.adapter))
    assert own.measures["nearest_adapter"] == pytest.approx(1.0, abs=1e-3)
    mean = gallery.numbers[[0, 2]].mean(0)
    torch.testing.assert_close(gallery.mean("cat"), mean)


def test_a_drawn_lora_is_held_against_those_that_were_learnt_from(
    tiny_base: Base, drawing_network: Path, lora_folder: Path
) -> None:
    given = {"hypernetwork": str(drawing_network), "identities": str(lora_folder)}
    loras = IdentitySet.open(lora_folder)
    cats = loras.targets([loras[0], loras[2]])
    mean = make(tiny_base, "instant", seen="mean", **given).adapter
    for layer, params in mean.values.items():
        torch.testing.assert_close(params["up"], cats.values[layer]["up"].mean(0), atol=1e-3, rtol=0)
    subject = Subject("known", "cat", "sks", (loras.picture(loras[2].first),), (Path("known.png"),))
    maker = find_maker("instant")
    resolved = maker.resolve("instant", tiny_base, {"seed": 0, "seen": "neighbour", **given})
    lent = maker.make(tiny_base, subject, resolved, []).adapter
    for layer, params in lent.values.items():
        torch.testing.assert_close(params["up"], cats.values[layer]["up"][1], atol=1e-3, rtol=0)
    own = make(tiny_base, "instant", **given)
    assert -1 <= own.measures["nearest_adapter"] <= 1
    assert own.measures["seed_variety"] > 0
    assert not torch.equal(values(own.adapter), values(make(tiny_base, "instant", sampling_steps=1, **given).adapter))


def test_adapters_lie_on_the_way_to_another_photo(tiny_base: Base, network: Path, painted_folder: Path) -> None:
    given = {"hypernetwork": str(network), "identities": str(painted_folder), "seen": "another"}
    own = make(tiny_base, "instant", hypernetwork=str(network))
    start, half, end = (values(make(tiny_base, "instant", share=s, **given).adapter) for s in (0.0, 0.5, 1.0))
    torch.testing.assert_close(start, values(own.adapter))
    assert not torch.allclose(half, start)
    torch.testing.assert_close(end, values(make(tiny_base, "instant", **given).adapter))


def test_a_prediction_is_trained_on_and_seen_before_its_first_step(tiny_base: Base, network: Path) -> None:
    calls: list[int] = []
    refinement = {"rank": 2, "batch_size": 1}
    made = make(tiny_base, "instant", calls, hypernetwork=str(network), steps=2, refinement=refinement)
    assert calls == [0, 1, 2]
    alone = make(tiny_base, "instant", hypernetwork=str(network))
    assert made.adapter.count() > alone.adapter.count() or alone.adapter.method.name == "lidb"
    nothing: list[int] = []
    without = make(
        tiny_base, "instant", nothing, hypernetwork=str(network), steps=2, refinement=refinement, seen="nothing"
    )
    assert (without.adapter.method.name, nothing) == ("lora", [1, 2])
    assert without.adapter.config.rank == 2  # type: ignore[attr-defined]


def test_training_starts_from_a_prediction(tiny_base: Base, network: Path) -> None:
    given = {"hypernetwork": str(network), "steps": 1, "batch_size": 1, "prior": "none", "warmup_steps": 0}
    calls: list[int] = []
    started = make(tiny_base, "started", calls, learning_rate=1e-9, text_learning_rate=1e-9, **given)
    predicted = make(tiny_base, "instant", hypernetwork=str(network))
    assert calls == [0, 1]
    assert started.adapter.space == predicted.adapter.space
    torch.testing.assert_close(values(started.adapter), values(predicted.adapter), atol=1e-6, rtol=1e-4)
    fresh = make(tiny_base, "started", calls, seen="nothing", **given)
    assert fresh.adapter.space == predicted.adapter.space
    assert calls == [0, 1, 1]


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({}, "no hypernetwork ships for"),
        ({"hypernetwork": "nowhere"}, "there is no hypernetwork 'nowhere'"),
        ({"speed": 3}, "instant: there is no setting 'speed'"),
        ({"hypernetwork": "NETWORK", "seen": "nearest"}, "needs `identities`"),
        ({"hypernetwork": "NETWORK", "share": 0.5}, "seen: own has no other"),
        ({"hypernetwork": "NETWORK", "steps": 2, "refinement": {"rank": 1}}, "instant: refinement: rank: "),
    ],
)
def test_what_cannot_work_is_refused_before_anything_runs(
    settings: dict[str, Any], complaint: str, tiny_base: Base, network: Path
) -> None:
    settings = {name: str(network) if value == "NETWORK" else value for name, value in settings.items()}
    with pytest.raises(BadConfig, match=complaint):
        find_maker("instant").resolve("instant", tiny_base, {"seed": 0, **settings})


def test_another_word_is_refused(tiny_base: Base, network: Path) -> None:
    maker = find_maker("instant")
    resolved = maker.resolve("instant", tiny_base, {"seed": 0, "hypernetwork": str(network)})
    other = Subject("red", "cat", "olo", SUBJECT.photos, SUBJECT.paths)
    with pytest.raises(BadConfig, match="calls its subjects 'sks'"):
        maker.make(tiny_base, other, resolved, [])


def test_the_study_of_hyperdreambooth_can_be_planned(
    tiny_base: Base, network: Path, painted_folder: Path, tmp_path: Path
) -> None:
    toyland = replace(tiny_base, name="toyland")
    (tmp_path / "paper").symlink_to(network)
    folders = {"network": network, "identities": painted_folder, "networks": tmp_path}
    supplied = supply(load_study("hyperdreambooth"), folders)
    assert len(supplied.left_out) == 9, "eight networks that are not there, one of them twice"
    people = DrawnSubjects(each=0, counts={"person": 1}, photos=2).paint(tmp_path / "subjects", 32)
    planned = unique_specs(plan(supplied.study.model_copy(update={"subjects": people}), toyland, {"scorer": "made up"}))
    assert {spec.method for spec in planned} >= {"instant", "started", "lora", "full", "lidb", "textual-inversion"}
    assert {(spec.judged_by, spec.photo_count) for spec in planned} == {("others", 1)}
    assert {spec.prompts[-1] for spec in planned} == {"a photo of a {} wearing a red scarf"}
    assert len({spec.key for spec in planned}) == len(planned) < 30


def test_the_study_of_difflora_can_be_planned(
    tiny_base: Base, drawing_network: Path, network: Path, lora_folder: Path, tmp_path: Path
) -> None:
    toyland = replace(tiny_base, name="toyland")
    names = ("gate", "mean", "face", "image", "flow", "regression", "paper", "paper-gamma-0", "tokens", "loras-100")
    (tmp_path / "nets").mkdir()
    for name in names:
        (tmp_path / "nets" / name).symlink_to(drawing_network)
    folders = {"network": drawing_network, "identities": lora_folder, "networks": tmp_path / "nets"}
    supplied = supply(load_study("difflora"), {**folders, "hyperdreambooth": network})
    assert supplied.left_out == ("300 (networks/loras-300)", "1,000 (networks/loras-1000)")
    people = DrawnSubjects(each=0, counts={"person": 1}, photos=2).paint(tmp_path / "subjects", 32)
    planned = unique_specs(plan(supplied.study.model_copy(update={"subjects": people}), toyland, {"scorer": "made up"}))
    assert {spec.recipe.get("seen") for spec in planned} >= {"own", "another", "nearest", "neighbour", "mean"}
    assert {spec.recipe.get("share") for spec in planned} >= {0.25, 0.5, 0.75, 1.0}
    assert {len(spec.prompts) for spec in planned} == {30}
