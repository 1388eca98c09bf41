"""The example subjects that ship with the package."""

from pathlib import Path

import pytest
from PIL import Image

from portraitist.bases.examples import copy_examples, get_example, list_examples
from portraitist.errors import BadConfig, BadFile


def test_a_dozen_subjects_have_photos_and_a_licence() -> None:
    examples = list_examples()
    assert len(examples) == 12
    assert {example.class_noun for example in examples} == {"robot", "cat", "monster", "person"}
    for example in examples:
        assert len(example.photos) == len(example.scenes)
        assert 4 <= len(example.photos) <= 6
        assert example.licence
        for photo in example.photos:
            with Image.open(photo) as image:
                assert image.size == (128, 128)


def test_a_subject_is_found_by_name() -> None:
    assert get_example("cat-1b7ecd").class_noun == "cat"
    with pytest.raises(BadConfig, match=r"did you mean cat-1b7ecd\?"):
        get_example("cat-1b7ec")


def test_copies_replace_nothing(tmp_path: Path) -> None:
    folders = copy_examples(tmp_path / "new")
    assert [folder.name for folder in folders] == [example.name for example in list_examples()]
    photo = folders[0] / "00.png"
    assert photo.read_bytes() == list_examples()[0].photos[0].read_bytes()
    other = tmp_path / "other"
    (other / folders[3].name).mkdir(parents=True)
    with pytest.raises(BadFile, match="exists already"):
        copy_examples(other)
    assert [path.name for path in other.iterdir()] == [folders[3].name]
