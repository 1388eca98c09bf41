"""Example photo folders: unseen identities, clearly different, with their licences."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from portraitist.errors import BadConfig
from portraitist.toyland.world import painting
from portraitist.toyland.world.examples import choose_subjects, licences, write_examples
from portraitist.toyland.world.identities import KINDS
from portraitist.toyland.world.painting import Painter


@pytest.fixture(autouse=True)
def one_painter(painter: Painter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(painting, "_painter", lambda: painter)


def test_subjects_are_unseen_and_different() -> None:
    chosen = choose_subjects(seed=1)
    assert [identity.kind for identity in chosen] == [kind for kind in KINDS for _ in range(3)]
    assert {identity.split for identity in chosen} == {"test"}
    assert {identity.split for identity in choose_subjects(seed=1, each=1, split="validation")} == {"validation"}
    for kind in KINDS:
        assert len({identity.colour for identity in chosen if identity.kind == kind}) == 3


def test_as_many_subjects_are_chosen_as_are_asked_for() -> None:
    chosen = choose_subjects(seed=5, each=10)  # more than cats have colours
    assert len(set(chosen)) == len({identity.name for identity in chosen}) == 10 * len(KINDS)


def test_folders_hold_photos_and_a_list(tmp_path: Path) -> None:
    identities = write_examples(tmp_path, seed=1, each=1, photos=4)
    entries = json.loads((tmp_path / "subjects.json").read_text())
    assert [entry["name"] for entry in entries] == [identity.name for identity in identities]
    for entry, identity in zip(entries, identities, strict=True):
        assert entry["class"] == identity.kind
        assert entry["licence"] == licences()[identity.kind]
        assert len(set(entry["scenes"])) == 4
        photos = sorted((tmp_path / entry["name"]).iterdir())
        assert [path.name for path in photos] == ["00.png", "01.png", "02.png", "03.png"]
        images = [np.asarray(Image.open(path), dtype=np.float32) for path in photos]
        assert {image.shape for image in images} == {(128, 128, 3)}
        assert np.abs(images[0] - images[1]).mean() > 8


def test_the_same_seed_writes_the_same_photos(tmp_path: Path) -> None:
    for name in ("first", "second"):
        write_examples(tmp_path / name, seed=2, each=1, photos=2)
    for path in sorted((tmp_path / "first").rglob("*.png")):
        assert path.read_bytes() == (tmp_path / "second" / path.relative_to(tmp_path / "first")).read_bytes()


def test_every_hand_is_credited() -> None:
    assert licences() == {
        "person": 'Remix of "Face Generator" by The Visual Team '
        "(https://www.figma.com/community/file/986078800058673824), CC BY 4.0; "
        "other parts, clothes and scenes drawn by the portraitist project, Apache-2.0",
        "cat": "Cats and scenes drawn by the portraitist project, Apache-2.0",
        "robot": 'Remix of "Bottts" by Pablo Stanley (https://bottts.com/), free for personal and commercial use; '
        "bodies and scenes drawn by the portraitist project, Apache-2.0",
        "monster": '"Critters" by DiceBear (https://www.dicebear.com), CC0 1.0; '
        "what they wear and hold, and scenes, drawn by the portraitist project, Apache-2.0",
    }


def test_more_photos_than_scenes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="there are 11"):
        write_examples(tmp_path, seed=1, each=1, photos=12)
