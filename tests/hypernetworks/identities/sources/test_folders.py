"""Identities from folders: photos with captions, and what tests are made with kept away from training."""

import json
import shutil
from pathlib import Path

import pytest
from drawn_photos import draw_photo, save_photos

from portraitist.bases.examples import copy_examples, list_examples
from portraitist.errors import BadConfig, BadPhoto
from portraitist.hypernetworks.identities.sources.folders import FolderSource
from portraitist.hypernetworks.identities.sources.source import Words

WORDS = Words("a photo of a {}", "sks")


def source(folder: Path, class_noun: str | None = "dog", split: str = "all", photos: int = 6) -> FolderSource:
    return FolderSource(folder, class_noun, None, split, photos, 64, WORDS)


def test_a_folder_is_an_identity(tmp_path: Path) -> None:
    save_photos(tmp_path / "rex", 3)
    save_photos(tmp_path / "bello", 8)
    (tmp_path / "rex" / "1.txt").write_text("on a sofa")
    (tmp_path / "rex" / "2.txt").write_text("{} asleep")
    (tmp_path / ".hidden").mkdir()
    dogs = source(tmp_path)
    assert (dogs.count, dogs.kinds, dogs.name) == (2, ("dog",), str(tmp_path))
    bello, rex = dogs.identity(0), dogs.identity(1)
    assert (bello.key, len(bello.photos), rex.key, len(rex.photos)) == ("bello", 6, "rex", 3)
    assert [photo.prompt for photo in rex.photos] == [
        "a photo of a sks dog",
        "a photo of a sks dog, on a sofa",
        "sks dog asleep",
    ]
    assert rex.photos[0].pixels.shape == (64, 64, 3)
    assert rex.photos[0].framing.original == (256, 320)


def test_what_cannot_be_read_is_named_and_does_not_stop_the_others(tmp_path: Path) -> None:
    save_photos(tmp_path / "rex", 2)
    (tmp_path / "rex" / "1.png").write_bytes(b"no picture")
    (tmp_path / "bello").mkdir()
    bello, rex = (source(tmp_path).identity(number) for number in range(2))
    assert len(rex.photos) == 1
    assert "1.png is not a picture" in rex.provenance["skipped"][0]
    assert bello.photos == ()
    assert "no pictures in" in bello.provenance["skipped"][0]


def test_splits_follow_the_folders_names(tmp_path: Path) -> None:
    for number in range(60):
        (tmp_path / f"dog {number}").mkdir()
    parts = {split: source(tmp_path, split=split) for split in ("train", "validation", "test")}
    assert sum(part.count for part in parts.values()) == 60
    assert parts["train"].count > 40
    for split, part in parts.items():
        assert {part.identity(number).split for number in range(part.count)} == {split}


def test_the_shipped_examples_are_always_tests_whatever_they_are_called(tmp_path: Path) -> None:
    copy_examples(tmp_path / "examples")
    known = source(tmp_path / "examples", class_noun=None)
    assert known.kinds == ("cat", "monster", "person", "robot")
    assert {known.identity(number).split for number in range(known.count)} == {"test"}
    with pytest.raises(BadConfig, match=r"none of the identities in .* is in the split train"):
        source(tmp_path / "examples", class_noun=None, split="train")
    # Without the list, under other names, among photos of others: their pixels are known.
    for number, example in enumerate(list_examples()):
        folder = save_photos(tmp_path / "renamed" / f"dog {number}", 1)
        shutil.copyfile(example.photos[2], folder / "mine.png")
    renamed = source(tmp_path / "renamed")
    assert {renamed.identity(number).split for number in range(renamed.count)} == {"test"}


def test_others_drawn_from_toyland_keep_their_split(tmp_path: Path) -> None:
    listed = [{"name": f"robot {n}", "class": "robot", "parts": {"body": str(n), "colour": "red"}} for n in range(40)]
    (tmp_path / "subjects.json").write_text(json.dumps(listed))
    for entry in listed:
        save_photos(tmp_path / str(entry["name"]), 1)
    splits = {source(tmp_path).identity(number).split for number in range(40)}
    assert splits == {"train", "validation", "test"}
    moved = tmp_path / "moved"
    moved.mkdir()
    shutil.copyfile(tmp_path / "subjects.json", moved / "subjects.json")
    draw_photo(3).save((moved / "robot 0").mkdir() or moved / "robot 0" / "0.png")
    before = next(i for i in map(source(tmp_path).identity, range(40)) if i.key == "robot 0")
    assert source(moved).identity(0).split == before.split


def test_what_is_missing_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(BadPhoto, match="is not a folder; give toyland:people"):
        source(tmp_path / "nowhere")
    with pytest.raises(BadPhoto, match="holds no folders; put the photos of each identity"):
        source(tmp_path)
    (tmp_path / "rex").mkdir()
    with pytest.raises(BadConfig, match="nothing says what kind of thing rex is; say it for all with --class"):
        source(tmp_path, class_noun=None)
