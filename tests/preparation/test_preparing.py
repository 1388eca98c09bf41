"""Decisions: exactly what should go goes, and every decision has its reason and numbers."""

import os
from pathlib import Path

import pytest
from drawn_photos import draw_photo, save_photos
from PIL import Image, ImageFilter, ImageOps

from portraitist.errors import BadConfig, BadPhoto
from portraitist.preparation import Criteria, prepare

CRITERIA = Criteria(size=192)
_BESIDE = Path(__file__).parents[3] / "shared" / "data" / "dreambooth"
REAL = Path(os.environ.get("PORTRAITIST_PHOTOS", _BESIDE))


def reasons(folder: Path, criteria: Criteria = CRITERIA) -> dict[str, str]:
    """Return why each dropped photo was."""
    prepared = prepare([folder], criteria)
    return {each.path.name: each.why for each in prepared.decisions if not each.is_kept}


def test_good_photos_stay(tmp_path: Path) -> None:
    prepared = prepare([save_photos(tmp_path, 5)], CRITERIA)
    assert [each.path.name for each in prepared.kept] == [f"{number}.png" for number in range(5)]
    for each in prepared.decisions:
        assert each.size == (320, 256)
        assert each.sharpness is not None
        assert each.sharpness > CRITERIA.sharpness
        assert each.nearest is not None
        assert each.nearest[1] > CRITERIA.phash


def test_exactly_what_should_go_goes(tmp_path: Path) -> None:
    save_photos(tmp_path, 5)
    draw_photo(0).resize((300, 240)).save(tmp_path / "6-again.jpg", quality=30)
    ImageOps.mirror(draw_photo(1)).save(tmp_path / "7-mirrored.png")
    draw_photo(8).filter(ImageFilter.GaussianBlur(3)).save(tmp_path / "8-blurred.png")
    draw_photo(9).crop((0, 0, 90, 200)).save(tmp_path / "9-tiny.png")
    (tmp_path / "10-broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 not a photo")
    found = reasons(tmp_path)
    assert found["6-again.jpg"] == "nearly the same as 0.png"
    assert found["7-mirrored.png"] == "nearly the same as 1.png"
    assert found["8-blurred.png"].startswith("blurred: sharpness 0.00")
    assert found["9-tiny.png"] == "too small: 90 px, at least 96"
    assert found["10-broken.jpg"].startswith("unreadable: damaged")
    assert len(found) == 5


def test_a_photo_far_softer_than_the_others_goes(tmp_path: Path) -> None:
    save_photos(tmp_path, 4)
    draw_photo(5).filter(ImageFilter.GaussianBlur(1.5)).save(tmp_path / "soft.png")
    lenient = Criteria(size=192, sharpness=0)
    assert reasons(tmp_path, lenient)["soft.png"].startswith("blurred next to the others")
    assert reasons(tmp_path, Criteria(size=192, sharpness=0, sharpness_share=0)) == {}


@pytest.mark.parametrize("later", [draw_photo(0, (480, 384)), draw_photo(0)], ids=["larger", "sharper"])
def test_of_two_alike_the_better_stays(tmp_path: Path, later: Image.Image) -> None:
    earlier = later.resize((224, 179)) if later.width > 320 else later.filter(ImageFilter.GaussianBlur(0.8))
    earlier.save(tmp_path / "a.png")
    later.save(tmp_path / "b.png")
    assert reasons(tmp_path, Criteria(size=192, sharpness=0, sharpness_share=0)) == {
        "a.png": "nearly the same as b.png"
    }


def test_near_duplicates_can_be_kept(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        draw_photo(0).save(tmp_path / name)
    assert reasons(tmp_path, Criteria(size=192, phash=-1, dhash=-1)) == {}


def test_rotation_written_by_a_camera_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    draw_photo(0).save(tmp_path / "turned.jpg", exif=exif, quality=95)
    (decision,) = prepare([tmp_path], CRITERIA).decisions
    assert decision.size == (256, 320)
    assert decision.picture is not None
    assert decision.picture.size == (256, 320)


def test_no_more_is_kept_than_training_uses(tmp_path: Path) -> None:
    draw_photo(0, (900, 600)).save(tmp_path / "large.png")
    (decision,) = prepare([tmp_path], Criteria(size=150)).decisions
    assert decision.picture is not None
    assert decision.picture.size == (300, 200)


def test_what_cannot_be_prepared_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadPhoto, match="no pictures in"):
        prepare([tmp_path], CRITERIA)
    Image.new("RGB", (400, 400), "red").save(tmp_path / "flat.png")
    with pytest.raises(BadPhoto, match=r"none of 1 photos can be used: flat\.png is blurred"):
        prepare([tmp_path], CRITERIA)
    for wrong in ({"size": 0}, {"sharpness": -1.0}, {"sharpness": float("nan")}, {"margin": -1.0}):
        with pytest.raises(BadConfig):
            Criteria(**wrong)  # type: ignore[arg-type]
    with pytest.raises(BadConfig, match="needs the face networks"):
        prepare([tmp_path], Criteria(crop=True))


@pytest.mark.skipif(not REAL.is_dir(), reason="needs DreamBooth's photos; PORTRAITIST_PHOTOS names their folder")
@pytest.mark.parametrize("subject", ["cat", "dog5", "red_cartoon", "duck_toy"])
def test_genuine_photos_stay_and_spoilt_copies_go(subject: str, tmp_path: Path) -> None:
    """The hardest of the subjects: furry, one photo there twice (mirrored), symmetric drawings, soft light."""
    photos = sorted((REAL / subject).glob("*.jpg"))
    for path in photos:
        with Image.open(path) as photo:
            photo.save(tmp_path / f"{path.stem}.png")
    with Image.open(photos[0]) as photo:
        photo.resize((300, 300)).save(tmp_path / "copy.jpg", quality=40)
        photo.filter(ImageFilter.GaussianBlur(2)).save(tmp_path / "soft.png")
    twice = {"03.png"} if subject == "dog5" else set()
    assert reasons(tmp_path, Criteria()).keys() == {"copy.jpg", "soft.png"} | twice
