"""The judges are made stage by stage, and can be loaded as any encoder can."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from portraitist.bases import Base
from portraitist.errors import BadConfig, TrainingInterrupted
from portraitist.evaluation.encoders import load_encoder
from portraitist.hypernetworks.settings import SightSettings
from portraitist.hypernetworks.sight import Sight
from portraitist.toyland.budgets import Budget
from portraitist.toyland.judges import workshop
from portraitist.toyland.judges.config import JudgesConfig
from portraitist.toyland.judges.examiner import Examiner
from portraitist.toyland.judges.workshop import FURTHER_STAGES, STAGES, JudgesWorkshop, differing
from portraitist.toyland.world.painting import Painter
from portraitist.training.loop.checkpoints import Checkpoint
from portraitist.training.loop.loop import Callback, Loop
from portraitist.training.networks.machine import Machine
from portraitist.training.networks.reports import read_report


@pytest.fixture(scope="module")
def made(
    base: Base, config: JudgesConfig, painter: Painter, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[JudgesWorkshop]:
    """All judges, made from nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workshop, "Painter", lambda device: painter)
        patch.setattr(workshop, "_VALIDATION", 4)
        shop = JudgesWorkshop(tmp_path_factory.mktemp("judges"), config, base, Machine())
        shop.make((*STAGES, *FURTHER_STAGES))
        yield shop


def test_all_judges_are_made_once(made: JudgesWorkshop, monkeypatch: pytest.MonkeyPatch) -> None:
    report = read_report(made.folder)
    assert set(report) == {"examiner", "clip", "identity", "dino", "second-identity"}
    assert (report["identity"]["steps"], report["identity"]["samples"]) == (3, 18)
    assert 0 <= report["dino"]["test_person_top1_among_4"] <= 1
    assert 0 <= report["clip"]["test_caption_top1_among_3"] <= 1
    assert 0 <= report["examiner"]["reconstructions scene"] <= 1
    assert Examiner.load(made.folder / "judges" / "examiner").settings["side"] == 32
    for name in ("clip", "identity", "dino", "second-identity"):
        encoder = load_encoder(str(made.folder / "judges" / f"toyland-{name}"))
        assert encoder.embed_pictures(torch.zeros(1, 3, 32, 32)).shape == (1, 16)
    monkeypatch.setattr(JudgesWorkshop, "_train", None)  # finished stages are passed over
    made.make()


@pytest.mark.parametrize("stage", [*STAGES, *FURTHER_STAGES])
def test_a_judge_that_is_stopped_goes_on_bit_identically(made: JudgesWorkshop, tmp_path: Path, stage: str) -> None:
    def attend(name: str, loop: Loop) -> Sequence[Callback]:
        def stop(completed: int) -> None:
            loop.stop.is_set = completed == 2

        return [stop]

    shop = replace(made, folder=tmp_path)
    with pytest.raises(TrainingInterrupted, match=r"stopped after step 2 of 3; .*; run the same command to continue"):
        replace(shop, attend=attend).make((stage,))
    assert not (tmp_path / "judges").exists()
    shop.make((stage,))
    finished = "judges/examiner" if stage == "examiner" else f"judges/toyland-{stage}"
    for file in (f"{stage}/last.safetensors", f"{finished}/model.safetensors"):
        through, resumed = (load_file(folder / file) for folder in (made.folder, tmp_path))
        assert through.keys() == resumed.keys()
        assert all(torch.equal(through[name], resumed[name]) for name in through)


def test_a_judge_is_trained_by_the_clock(made: JudgesWorkshop, tmp_path: Path) -> None:
    budget = Budget(0.01, ("dino",), made.config.shares())
    replace(made, folder=tmp_path, budget=budget).make(("dino",))
    assert 0 < read_report(tmp_path)["dino"]["seconds"] < 60
    assert (tmp_path / "judges" / "toyland-dino" / "config.json").exists()


def test_a_checkpoint_that_says_less_is_refused_in_one_line(made: JudgesWorkshop, tmp_path: Path) -> None:
    (tmp_path / "dino").mkdir()
    checkpoint = Checkpoint.load(made.folder / "dino" / "last.safetensors")
    del checkpoint.identity["task"]["betas"]
    checkpoint.save(tmp_path / "dino" / "last.safetensors")
    line = (
        r"dino holds another run: it does not say task\.betas, which is \[0\.9, 0\.999\] now; resume it with the same"
        r" settings, or delete \S+dino/last\.safetensors to start over$"
    )
    with pytest.raises(BadConfig, match=line):
        replace(made, folder=tmp_path).make(("dino",))


def test_a_second_encoder_of_identities_is_another_one_that_networks_can_see_with(
    made: JudgesWorkshop, base: Base
) -> None:
    names = [str(made.folder / "judges" / f"toyland-{name}") for name in ("identity", "second-identity")]
    first, second = (load_encoder(name) for name in names)
    assert first.revision != second.revision
    sight = Sight.load(SightSettings(encoders=(names[1],), places=True), base, "cpu")
    seen = sight.see([Image.new("RGB", (32, 32), "red")])
    assert {name: tuple(values.shape) for name, values in seen.items()} == {
        names[1]: (1, 1, 16),
        f"places of {names[1]}": (1, 64, 16),
    }


def test_test_captions_differ_within_their_groups() -> None:
    specs, captions = differing(60, 20, seed=1)
    assert len(specs) == len(captions) == 60
    assert all(len(set(captions[start : start + 20])) == 20 for start in (0, 20, 40))
    assert {subject.identity.split for spec in specs for subject in spec.subjects} == {"test"}
