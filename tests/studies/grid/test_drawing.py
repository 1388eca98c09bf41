"""Subjects drawn for a study: of a split, kinds in turn, painted once."""

from pathlib import Path

import pytest
from PIL import Image

from portraitist.errors import BadConfig
from portraitist.studies.grid.drawing import DrawnSubjects, require_spare_photos


def test_subjects_are_drawn_by_kind_and_painted_once(tmp_path: Path) -> None:
    drawn = DrawnSubjects(each=1, counts={"person": 2, "monster": 0}, photos=2)
    entries = drawn.paint(tmp_path, 32)
    assert sorted(entry.class_noun for entry in entries) == ["cat", "person", "person", "robot"]
    assert len({entry.class_noun for entry in entries[:3]}) == 3, "kinds take turns"
    assert {path.name for path in entries[0].photos.iterdir()} == {"0.png", "1.png"}
    assert Image.open(entries[0].photos / "0.png").size == (32, 32)
    before = (entries[0].photos / "0.png").stat().st_mtime_ns
    fewer = drawn.model_copy(update={"most": 2})
    assert fewer.paint(tmp_path, 32) == entries[:2]
    assert (entries[0].photos / "0.png").stat().st_mtime_ns == before
    assert drawn.licences()


def test_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="no kind 'dragon'"):
        DrawnSubjects(counts={"dragon": 2}).paint(tmp_path, 32)


def test_judging_by_other_photos_needs_some() -> None:
    require_spare_photos(2, 1)
    for used in (None, 2):
        with pytest.raises(BadConfig, match="not used"):
            require_spare_photos(2, used)
