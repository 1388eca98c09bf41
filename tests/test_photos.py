"""Photos as people have them, and pictures beside pages: small files, however large the picture."""

import io
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from portraitist.errors import BadPhoto
from portraitist.photos import PAGE_BYTES, decode_photo, encode_for_page


def reopened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    assert image.format == "WEBP"
    return image


def test_photos_of_telephones_are_read(tmp_path: Path) -> None:
    pillow_heif.from_pillow(Image.new("RGB", (64, 48), (200, 40, 20))).save(tmp_path / "phone.heic")
    photo = decode_photo(tmp_path / "phone.heic")
    assert photo.size == (64, 48)
    assert np.abs(np.asarray(photo, dtype=int) - (200, 40, 20)).max() < 8


def test_a_plain_picture_keeps_its_size_and_looks() -> None:
    ramp = np.linspace(0, 255, 400, dtype=np.uint8)
    image = Image.fromarray(np.stack([np.tile(ramp, (300, 1))] * 3, axis=-1))
    data = encode_for_page(image)
    shown = reopened(data)
    assert shown.size == image.size
    assert len(data) < PAGE_BYTES / 10
    assert np.abs(np.asarray(shown.convert("RGB")).astype(int) - np.asarray(image).astype(int)).mean() < 2


def test_a_busy_picture_is_made_to_fit() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1200, 900, 3), dtype=np.uint8)
    data = encode_for_page(Image.fromarray(noise))
    assert PAGE_BYTES / 2 < len(data) <= PAGE_BYTES
    width, height = reopened(data).size
    assert width < 900
    assert abs(height / width - 4 / 3) < 0.01


def test_a_sheet_taller_than_the_format_allows_is_scaled_down() -> None:
    assert reopened(encode_for_page(Image.new("RGB", (32, 20_000), "red"))).height == 16_383


def test_only_the_named_formats_are_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def sprung(*_: object, **__: object) -> None:
        raise AssertionError("Ghostscript was started")

    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", sprung)
    Image.new("RGB", (8, 8)).save(tmp_path / "a.eps")
    for name in ("a.eps", "a.png"):
        (tmp_path / name).write_bytes((tmp_path / "a.eps").read_bytes())
        with pytest.raises(BadPhoto, match="is not a picture that can be read"):
            decode_photo(tmp_path / name)


def test_pixels_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 8), np.nan, dtype=np.float32)).save(tmp_path / "a.tiff")
    with pytest.raises(BadPhoto, match="values that are not finite numbers"):
        decode_photo(tmp_path / "a.tiff")
