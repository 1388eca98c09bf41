"""What preparing leaves on disk."""

import json
from pathlib import Path

import numpy as np
import pytest
from drawn_photos import draw_photo, save_photos
from PIL import Image, ImageFilter

from portraitist.errors import BadPhoto, UnwritableFolder
from portraitist.files import sha256
from portraitist.photos import list_photos
from portraitist.preparation import Criteria, prepare, write_prepared

CRITERIA = Criteria(size=96)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = save_photos(tmp_path / "photos", 3)
    draw_photo(7).filter(ImageFilter.GaussianBlur(4)).save(folder / "soft.png")
    (folder / "1.txt").write_text("a {} on a wall")
    (folder / "1.caption").write_text("a wall")
    mask = Image.new("L", (320, 256), 0)
    mask.paste(255, (160, 0, 320, 256))
    mask.save(folder / "2.mask.png")
    return folder


def test_the_folder_holds_what_training_takes(photos: Path, tmp_path: Path) -> None:
    before = {path: sha256(path) for path in photos.iterdir()}
    write_prepared(prepare([photos], CRITERIA), tmp_path / "out")
    out = tmp_path / "out"
    assert [path.name for path in list_photos(out)] == ["0.png", "1.png", "2.png"]
    assert (out / "1.txt").read_text() == "a {} on a wall"
    assert (out / "1.caption").read_text() == "a wall"
    with Image.open(out / "2.png") as photo, Image.open(out / "2.mask.png") as mask:
        assert photo.size == mask.size == (160, 128)
        assert np.asarray(mask)[:, :76].max() < 3
        assert np.asarray(mask)[:, 84:].min() > 252
    assert {path: sha256(path) for path in photos.iterdir()} == before


def test_every_decision_is_there_with_its_numbers(photos: Path, tmp_path: Path) -> None:
    write_prepared(prepare([photos], CRITERIA), tmp_path / "out")
    content = json.loads((tmp_path / "out" / "prepared.json").read_text())
    assert (content["format"], content["kept"], content["dropped"]) == ("portraitist-prepared-1", 3, 1)
    assert content["criteria"]["size"] == 96
    first, last = content["photos"][0], content["photos"][-1]
    assert (first["written"], first["size"], first["kept"]) == ("0.png", [320, 256], True)
    assert first["nearest"]["phash"] > CRITERIA.phash
    assert not last["kept"]
    assert last["why"].startswith("blurred")
    assert last["sharpness"] < CRITERIA.sharpness < first["sharpness"]


def test_the_sheet_shows_every_photo_in_its_colour(photos: Path, tmp_path: Path) -> None:
    (photos / "broken.jpg").write_text("no picture")
    write_prepared(prepare([photos], CRITERIA), tmp_path / "out")
    with Image.open(tmp_path / "out" / "report" / "sheet.png") as sheet:
        pixels = np.asarray(sheet.convert("RGB")).astype(int)
    left = [tuple(pixels[100, 10 + column * 200]) for column in range(5)]
    green = [red < 100 < value for red, value, _ in left]
    assert green == [True, True, True, False, False]


def test_two_photos_of_one_name_become_two(tmp_path: Path) -> None:
    for seed, place in enumerate(("a/photo.png", "b/Photo.png")):
        (tmp_path / place).parent.mkdir()
        draw_photo(seed).save(tmp_path / place)
    write_prepared(prepare([tmp_path / "a", tmp_path / "b"], CRITERIA), tmp_path / "out")
    assert {path.name for path in list_photos(tmp_path / "out")} == {"photo.png", "Photo-2.png"}


def test_nothing_is_left_of_what_cannot_be_written(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    prepared = prepare([photos], CRITERIA)
    with pytest.raises(UnwritableFolder):
        write_prepared(prepared, tmp_path / "full")
    Image.new("L", (5, 5), 255).save(photos / "0.mask.png")
    with pytest.raises(BadPhoto, match=r"0\.mask\.png does not have the size of 0\.png"):
        write_prepared(prepared, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full", "photos"]
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine.txt"]
