"""The judges are made stage by stage, and can be loaded as any encoder can."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from portraitist.bases import Base
from portraitist.evaluation.encoders import load_encoder
from portraitist.hypernetworks.settings import SightSettings
from portraitist.hypernetworks.sight import Sight
from portraitist.toyland.judges import workshop
from portraitist.toyland.judges.config import JudgesConfig
from portraitist.toyland.judges.examiner import Examiner
from portraitist.toyland.judges.workshop import JudgesWorkshop, differing
from portraitist.toyland.world.painting import Painter


def test_all_judges_are_made_once(
    base: Base, config: JudgesConfig, painter: Painter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workshop, "Painter", lambda device: painter)
    monkeypatch.setattr(workshop, "_VALIDATION", 4)
    shop = JudgesWorkshop(tmp_path, config, base)
    shop.make()
    report = shop.read_report()
    assert set(report) == {"examiner", "clip", "identity", "dino"}
    assert report["identity"]["steps"] == 3
    assert 0 <= report["dino"]["test_person_top1_among_4"] <= 1
    assert 0 <= report["clip"]["test_caption_top1_among_3"] <= 1
    assert 0 <= report["examiner"]["reconstructions scene"] <= 1
    assert Examiner.load(tmp_path / "judges" / "examiner").settings["side"] == 32
    for name in ("clip", "identity", "dino"):
        encoder = load_encoder(str(tmp_path / "judges" / f"toyland-{name}"))
        assert encoder.embed_pictures(torch.zeros(1, 3, 32, 32)).shape == (1, 16)
    monkeypatch.setattr(JudgesWorkshop, "_train", None)  # finished stages are passed over
    shop.make()


def test_a_second_encoder_of_identities_is_another_one_that_networks_can_see_with(
    base: Base, config: JudgesConfig, painter: Painter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workshop, "Painter", lambda device: painter)
    shop = JudgesWorkshop(tmp_path, config, base)
    shop.make(("identity", "second-identity"))
    assert set(shop.read_report()) == {"identity", "second-identity"}
    names = [str(tmp_path / "judges" / f"toyland-{name}") for name in ("identity", "second-identity")]
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
