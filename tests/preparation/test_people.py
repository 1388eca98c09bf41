"""Faces: the one who recurs is found and cut out, and two who may be meant are not guessed at."""

from pathlib import Path

import numpy as np
import pytest
from drawn_photos import draw_photo
from face_networks import CELL, save_detector, save_recogniser
from PIL import ImageDraw

from portraitist.errors import BadPhoto
from portraitist.evaluation.encoders import load_encoder
from portraitist.preparation import Criteria, prepare
from portraitist.preparation.people import FaceFinder, Seen, crop_box, group_people

ANN, BOB, CEM = (255, 0, 255), (255, 0, 0), (0, 0, 255)
CRITERIA = Criteria(size=64)


@pytest.fixture(scope="module")
def finder(tmp_path_factory: pytest.TempPathFactory) -> FaceFinder:
    pytest.importorskip("cv2")
    from portraitist.evaluation.faces import load_detector

    folder = tmp_path_factory.mktemp("networks")
    detector = load_detector(str(save_detector(folder / "detector.onnx")))
    return FaceFinder(detector, load_encoder(str(save_recogniser(folder / "recogniser.onnx"))), 0.5)


def take(folder: Path, name: str, **faces: tuple[int, int, int]) -> None:
    """Write a photo in which some people's faces are at places such as ``x2y3``, in cells."""
    photo = draw_photo(sum(map(ord, name)), colour=False)
    for place, colour in faces.items():
        x, y = (int(number) * CELL for number in place[1:].split("y"))
        ImageDraw.Draw(photo).rectangle((x, y, x + CELL - 1, y + CELL - 1), fill=colour)
    photo.save(folder / f"{name}.png")


def test_the_one_who_recurs_is_kept_and_cut_out(tmp_path: Path, finder: FaceFinder) -> None:
    take(tmp_path, "alone", x2y3=ANN)
    take(tmp_path, "beside", x6y2=ANN, x2y2=BOB)
    take(tmp_path, "third", x4y4=ANN)
    take(tmp_path, "other", x4y4=CEM)
    take(tmp_path, "nobody")
    prepared = prepare([tmp_path], Criteria(size=64, crop=True, margin=0.5), finder)
    assert {each.path.stem: each.why for each in prepared.decisions if not each.is_kept} == {
        "other": "without the person's face",
        "nobody": "without a face",
    }
    faces = {each.path.stem: each.faces for each in prepared.decisions}
    assert faces == {"alone": 1, "beside": 2, "third": 1, "other": 1, "nobody": 0}
    boxes = {each.path.stem: each.box for each in prepared.kept}
    assert boxes == {"alone": (48, 80, 112, 144), "beside": (176, 48, 240, 112), "third": (112, 112, 176, 176)}
    for each in prepared.kept:
        assert each.picture is not None
        assert each.picture.size == (64, 64)
        middle = np.asarray(each.picture)[24:40, 24:40].reshape(-1, 3)
        assert np.abs(middle - np.array(ANN)).max() < 30, f"{each.path.stem} shows somebody else"


def test_without_cropping_photos_stay_whole(tmp_path: Path, finder: FaceFinder) -> None:
    take(tmp_path, "alone", x2y3=ANN)
    (decision,) = prepare([tmp_path], Criteria(size=192), finder).decisions
    assert decision.box is None
    assert decision.picture is not None
    assert decision.picture.size == (320, 256)


def test_two_who_may_be_meant_are_not_guessed_at(tmp_path: Path, finder: FaceFinder) -> None:
    take(tmp_path, "one", x2y3=ANN, x6y3=BOB)
    take(tmp_path, "two", x4y2=ANN, x7y4=BOB)
    take(tmp_path, "three", x3y3=ANN)
    with pytest.raises(
        BadPhoto, match=r"one in 3 photos \(one.png, three.png, two.png\) and one in 2 .*--person PHOTO"
    ):
        prepare([tmp_path], CRITERIA, finder)
    (tmp_path / "who").mkdir()
    take(tmp_path / "who", "bob", x4y4=BOB)
    prepared = prepare([tmp_path], CRITERIA, finder, tmp_path / "who" / "bob.png")
    assert [each.path.stem for each in prepared.kept] == ["one", "two"]


def test_a_picture_that_names_nobody_is_refused(tmp_path: Path, finder: FaceFinder) -> None:
    photos, who = tmp_path / "photos", tmp_path / "who"
    for folder in (photos, who):
        folder.mkdir()
    take(photos, "one", x2y3=ANN)
    take(who, "cem", x2y3=CEM)
    take(who, "both", x2y3=CEM, x5y3=ANN)
    take(who, "none")
    with pytest.raises(BadPhoto, match=r"the face in .*cem.png is in none of the photos"):
        prepare([photos], CRITERIA, finder, who / "cem.png")
    for name, count in (("both", 2), ("none", 0)):
        with pytest.raises(BadPhoto, match=f"shows {count} faces"):
            prepare([photos], CRITERIA, finder, who / f"{name}.png")


def test_no_face_at_all_is_said(tmp_path: Path, finder: FaceFinder) -> None:
    take(tmp_path, "nobody")
    with pytest.raises(BadPhoto, match="no face in any"):
        prepare([tmp_path], CRITERIA, finder)


def seen(photo: int, angle: float) -> Seen:
    return Seen(photo, (0.0, 0.0, 0.1, 0.1), np.array([np.cos(angle), np.sin(angle)]))


def test_nobody_is_in_one_photo_twice() -> None:
    groups = group_people([seen(0, 0.0), seen(0, 0.1), seen(1, 0.02), seen(2, 0.01)], 0.5)
    assert [sorted(face.photo for face in group) for group in groups] == [[0, 1, 2], [0]]


def test_faces_are_joined_by_their_mean_likeness() -> None:
    """A chain of faces, each like the next, is not one person when its ends are strangers."""
    groups = group_people([seen(number, 0.6 * number) for number in range(5)], np.cos(1.0))
    assert len(groups) > 1


def test_crops_stay_inside_the_photo() -> None:
    assert crop_box((0.4, 0.4, 0.6, 0.6), (200, 200), 0.5) == (60, 60, 140, 140)
    assert crop_box((0.0, 0.0, 0.1, 0.1), (200, 300), 1.0) == (0, 0, 90, 90)
    assert crop_box((0.8, 0.9, 1.0, 1.0), (100, 400), 5.0) == (0, 300, 100, 400)
