"""What is said of subjects that an embedded base has never seen."""

from dataclasses import replace
from pathlib import Path

import pytest
from drawn_photos import save_photos

from portraitist.bases import Base, load_base
from portraitist.bases.examples import get_example
from portraitist.training import familiarity
from portraitist.training.familiarity import familiarity_warnings
from portraitist.training.subjects import Subject


@pytest.fixture(scope="module")
def toyland() -> Base:
    return load_base("toyland")


def read(photos: Path, class_noun: str) -> Subject:
    return Subject.from_folder(photos, class_noun, size=128)


@pytest.mark.parametrize("name", ["cat-df771e", "monster-a15589", "person-c1ab37", "robot-6f3f5f"])
def test_subjects_of_its_world_are_passed_over(toyland: Base, name: str) -> None:
    example = get_example(name)
    assert familiarity_warnings(toyland, [read(example.folder, example.class_noun)]) == []


def test_a_class_that_its_vocabulary_does_not_hold_is_said(toyland: Base) -> None:
    (line,) = familiarity_warnings(toyland, [read(get_example("cat-df771e").folder, "dog")])
    assert line.startswith("the base toyland knows no dog, only cat, monster, person, robot; ")
    assert "--base" in line


def test_pictures_that_look_like_nothing_it_has_seen_are_said(toyland: Base, tmp_path: Path) -> None:
    (line,) = familiarity_warnings(toyland, [read(save_photos(tmp_path, 3), "cat")])
    assert "look like nothing it has seen" in line


def test_several_subjects_are_measured_against_the_examples_once(
    toyland: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[int] = []
    monkeypatch.setattr(
        familiarity, "denoising_error", lambda base, pictures: measured.append(len(pictures)) or len(pictures)
    )
    monkeypatch.setattr(familiarity, "list_examples", lambda: [get_example("cat-df771e")])
    known, strange = read(get_example("cat-1b7ecd").folder, "cat"), read(save_photos(tmp_path, 3), "cat")
    alone = replace(known, photos=known.photos[:1], name="felix")
    (line,) = familiarity_warnings(toyland, [alone, replace(strange, name="rex")])
    assert "the photos of rex look like nothing it has seen" in line
    assert measured == [1, 1, 3]


def test_nothing_is_said_of_other_bases(toyland: Base, tmp_path: Path) -> None:
    assert familiarity_warnings(replace(toyland, name="mine"), [read(save_photos(tmp_path, 3), "dog")]) == []
