"""Contact sheets: every picture is there, whole and in its place."""

import numpy as np
import pytest
from PIL import Image, ImageFont

from portraitist.generation.sheets import SheetRow, caption_sheet, contact_sheet, fit_tile, wrap

COLOURS = ["red", "green", "blue", "yellow", "magenta"]


def squares(count: int) -> list[Image.Image]:
    return [Image.new("RGB", (16, 16), COLOURS[index]) for index in range(count)]


def area(sheet: Image.Image, colour: str) -> int:
    wanted = np.array(Image.new("RGB", (1, 1), colour))[0, 0]
    return int((np.asarray(sheet) == wanted).all(axis=-1).sum())


def test_rows_may_differ_in_length() -> None:
    images = squares(3)
    sheet = contact_sheet([SheetRow("a prompt", images[:1]), SheetRow("another prompt", images)], tile=32)
    assert area(sheet, "red") == 2 * 32 * 32
    assert area(sheet, "blue") == 32 * 32


def test_heads_stand_above_their_row_and_cover_nothing() -> None:
    images = squares(2)
    rows = [
        SheetRow("photos", images),
        SheetRow("a prompt", images, ["one", "another of more words"]),
        SheetRow("more", images),
    ]
    plain, headed = (contact_sheet(each, tile=48) for each in ([SheetRow(r.caption, r.images) for r in rows], rows))
    assert headed.height > plain.height
    assert area(headed, "red") == area(headed, "green") == 3 * 48 * 48
    ink = [(np.asarray(sheet).astype(int).sum(axis=-1) < 200).sum() for sheet in (plain, headed)]
    assert ink[1] > ink[0] + 50


@pytest.mark.parametrize("columns", [1, 2, 5])
def test_captions_stand_under_their_pictures(columns: int) -> None:
    images = squares(5)
    sheet = caption_sheet([(image, "a caption of several words") for image in images], columns=columns, tile=48)
    for colour in COLOURS:
        assert area(sheet, colour) == 48 * 48
    ink = (np.asarray(sheet).astype(int).sum(axis=-1) < 200).sum()
    assert ink > 100


def test_small_pictures_keep_square_pixels() -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (8, 8, 3), dtype=np.uint8))
    tile = np.asarray(fit_tile(image, 32))
    np.testing.assert_array_equal(tile[::4, ::4], np.asarray(image))
    np.testing.assert_array_equal(tile[1::4, 2::4], np.asarray(image))


def test_a_picture_that_is_not_square_is_padded() -> None:
    tile = np.asarray(fit_tile(Image.new("RGB", (8, 4), "black"), 16))
    assert tile.shape == (16, 16, 3)
    assert (tile[0] == 255).all()
    assert (tile[8] == 0).all()


def test_lines_are_no_wider_than_asked() -> None:
    font = ImageFont.load_default(12)
    text = "a photo of a cat on the beach with an extraordinarily-long-word in it"
    lines = wrap(text, font, 80)
    assert " ".join(lines) == text
    assert all(font.getlength(line) <= 80 or " " not in line for line in lines)
    assert wrap("", font, 80) == []
