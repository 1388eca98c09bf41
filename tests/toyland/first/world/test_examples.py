"""Example photo folders: unseen identities, clearly different, with their licences."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from portraitist.toyland.first.world.examples import choose_subjects, write_examples
from portraitist.toyland.first.world.identities import KINDS


def test_subjects_are_unseen_and_different() -> None:
    chosen = choose_subjects(seed=1)
    assert [identity.kind for identity in chosen] == [kind for kind in KINDS for _ in range(3)]
    assert {identity.split for identity in chosen} == {"test"}
    assert {identity.split for identity in choose_subjects(seed=1, each=1, split="validation")} == {"validation"}
    for kind in KINDS:
        assert len({identity.colour for identity in chosen if identity.kind == kind}) == 3


def test_folders_hold_photos_and_a_list(tmp_path: Path) -> None:
    identities = write_examples(tmp_path, seed=1, each=1, photos=4)
    entries = json.loads((tmp_path / "subjects.json").read_text())
    assert [entry["name"] for entry in entries] == [identity.name for identity in identities]
    for entry, identity in zip(entries, identities, strict=True):
        assert entry["class"] == identity.kind
        assert "RoboHash" in entry["licence"]
        assert len(set(entry["scenes"])) == 4
        photos = sorted((tmp_path / entry["name"]).iterdir())
        assert [path.name for path in photos] == ["00.png", "01.png", "02.png", "03.png"]
        images = [np.asarray(Image.open(path), dtype=np.float32) for path in photos]
        assert {image.shape for image in images} == {(64, 64, 3)}
        assert np.abs(images[0] - images[1]).mean() > 8


def test_the_same_seed_writes_the_same_photos(tmp_path: Path) -> None:
    for name in ("first", "second"):
        write_examples(tmp_path / name, seed=2, each=1, photos=2)
    for path in sorted((tmp_path / "first").rglob("*.png")):
        other = tmp_path / "second" / path.relative_to(tmp_path / "first")
        np.testing.assert_array_equal(np.asarray(Image.open(path)), np.asarray(Image.open(other)))


def test_more_photos_than_scenes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there are 9"):
        write_examples(tmp_path, seed=1, each=1, photos=10)
