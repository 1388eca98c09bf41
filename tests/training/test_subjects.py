"""Subjects: any picture PIL reads becomes an upright RGB square; a bad one costs one line."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from portraitist.errors import BadConfig, BadPhoto
from portraitist.training.subjects import Subject, read_photo

SIZE = 64
RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def halves(left: tuple[int, ...], right: tuple[int, ...], size: tuple[int, int] = (80, 80)) -> Image.Image:
    """Return a picture of two colours side by side."""
    image = Image.new("RGB", size, left)
    image.paste(right, (size[0] // 2, 0, *size))
    return image


def pixel(image: Image.Image, x: float, y: float) -> np.ndarray:
    """Return the colour at a place given as fractions of width and height."""
    return np.array(image.getpixel((int(x * image.width), int(y * image.height))), dtype=int)


def close(colour: np.ndarray, expected: tuple[int, ...], tolerance: int = 6) -> bool:
    return bool(np.abs(colour - expected).max() <= tolerance)


def read_from(folder: Path, **settings: object) -> Subject:
    return Subject.from_folder(folder, class_noun="cat", size=SIZE, **settings)  # type: ignore[arg-type]


# Modes


@pytest.mark.parametrize(
    ("mode", "name"),
    [
        ("RGB", "a.jpg"),
        ("RGB", "a.png"),
        ("RGB", "a.webp"),
        ("RGB", "a.bmp"),
        ("RGBA", "a.png"),
        ("P", "a.gif"),
        ("P", "a.png"),
        ("CMYK", "a.jpg"),
        ("CMYK", "a.tiff"),
        ("LAB", "a.tiff"),
    ],
)
def test_colour_modes_keep_their_colours(tmp_path: Path, mode: str, name: str) -> None:
    left, right = (200, 60, 40), (40, 60, 200)
    image = halves(left, right)
    if mode == "LAB":
        transform = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
        image = ImageCms.applyTransform(image, transform)
    else:
        image = image.quantize(8) if mode == "P" else image.convert(mode)
    image.save(tmp_path / name)
    photo = read_photo(tmp_path / name, SIZE)
    assert photo.mode == "RGB"
    assert photo.size == (SIZE, SIZE)
    assert close(pixel(photo, 0.2, 0.5), left, 14)
    assert close(pixel(photo, 0.8, 0.5), right, 14)


@pytest.mark.parametrize(("mode", "black", "white"), [("1", 0, 1), ("L", 0, 255), ("I;16", 0, 65535)])
def test_greys_keep_black_and_white(tmp_path: Path, mode: str, black: int, white: int) -> None:
    image = Image.new(mode, (80, 80), black)
    image.paste(white, (40, 0, 80, 80))
    image.save(tmp_path / "grey.png")
    photo = read_photo(tmp_path / "grey.png", SIZE)
    assert close(pixel(photo, 0.2, 0.5), (0, 0, 0))
    assert close(pixel(photo, 0.8, 0.5), WHITE)


@pytest.mark.parametrize(
    ("dtype", "value", "expected"),
    [
        (np.uint16, 32768, 128),
        (np.uint16, 100, 0),
        (np.int32, 32768, 128),
        (np.int32, 100, 100),
        (np.float32, 0.5, 128),
        (np.float32, 100.0, 100),
    ],
)
def test_deep_greys_keep_their_brightness(tmp_path: Path, dtype: type, value: float, expected: int) -> None:
    Image.fromarray(np.full((80, 80), value, dtype=dtype)).save(tmp_path / "deep.tiff")
    assert close(pixel(read_photo(tmp_path / "deep.tiff", SIZE), 0.5, 0.5), (expected,) * 3, 1)


def test_greys_beyond_any_range_are_scaled_to_what_they_hold(tmp_path: Path) -> None:
    values = np.full((80, 80), -1000.0, dtype=np.float32)
    values[:, 40:] = 99000.0
    Image.fromarray(values).save(tmp_path / "heights.tiff")
    photo = read_photo(tmp_path / "heights.tiff", SIZE)
    assert close(pixel(photo, 0.2, 0.5), (0, 0, 0))
    assert close(pixel(photo, 0.8, 0.5), WHITE)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_alpha_lies_over_white(tmp_path: Path, mode: str) -> None:
    alpha = Image.new("L", (80, 80), 255)
    alpha.paste(0, (40, 0, 80, 80))
    alpha.paste(128, (0, 60, 40, 80))
    image = Image.new("RGB", (80, 80), (0, 0, 0))
    image.putalpha(alpha)
    image.convert(mode).save(tmp_path / "cut.png" if mode != "PA" else tmp_path / "cut.tiff")
    photo = read_photo(next(tmp_path.iterdir()), SIZE)
    assert close(pixel(photo, 0.2, 0.2), (0, 0, 0))
    assert close(pixel(photo, 0.8, 0.2), WHITE)
    assert close(pixel(photo, 0.2, 0.9), (127, 127, 127))


def test_a_transparent_palette_entry_is_white(tmp_path: Path) -> None:
    image = halves(RED, BLUE).quantize(2)
    clear = image.getpixel((79, 0))
    image.save(tmp_path / "sticker.gif", transparency=clear)
    photo = read_photo(tmp_path / "sticker.gif", SIZE)
    assert close(pixel(photo, 0.2, 0.5), RED)
    assert close(pixel(photo, 0.8, 0.5), WHITE)


def test_only_the_first_frame_of_an_animation_counts(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (80, 80), colour) for colour in (RED, BLUE)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    assert close(pixel(read_photo(tmp_path / "moving.gif", SIZE), 0.5, 0.5), RED)


# Geometry and colour space


@pytest.mark.parametrize(
    ("orientation", "red_at", "green_at"),
    [
        (1, (0.2, 0.5), (0.8, 0.5)),
        (3, (0.8, 0.5), (0.2, 0.5)),
        (6, (0.5, 0.2), (0.5, 0.8)),
        (8, (0.5, 0.8), (0.5, 0.2)),
    ],
)
def test_exif_rotation_is_applied(
    tmp_path: Path, orientation: int, red_at: tuple[float, float], green_at: tuple[float, float]
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    halves(RED, GREEN).save(tmp_path / "turned.jpg", exif=exif, quality=95)
    photo = read_photo(tmp_path / "turned.jpg", SIZE)
    assert close(pixel(photo, *red_at), RED, 20)
    assert close(pixel(photo, *green_at), GREEN, 20)


def test_crop_takes_the_middle_square(tmp_path: Path) -> None:
    image = Image.new("RGB", (240, 80), BLUE)
    image.paste(RED, (80, 0, 160, 80))
    image.save(tmp_path / "wide.png")
    photo = read_photo(tmp_path / "wide.png", SIZE, "crop")
    assert photo.size == (SIZE, SIZE)
    assert all(close(pixel(photo, x, 0.5), RED) for x in (0.05, 0.5, 0.95))


def test_pad_keeps_everything_on_white(tmp_path: Path) -> None:
    halves(RED, BLUE, (240, 80)).save(tmp_path / "wide.png")
    photo = read_photo(tmp_path / "wide.png", SIZE, "pad")
    assert photo.size == (SIZE, SIZE)
    assert close(pixel(photo, 0.1, 0.5), RED)
    assert close(pixel(photo, 0.9, 0.5), BLUE)
    assert close(pixel(photo, 0.5, 0.1), WHITE)
    assert close(pixel(photo, 0.5, 0.9), WHITE)


def test_colours_are_brought_to_srgb(tmp_path: Path) -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    # The primaries of red and blue exchanged: what this file calls red is blue.
    swapped = srgb.replace(b"rXYZ", b"____").replace(b"bXYZ", b"rXYZ").replace(b"____", b"bXYZ")
    for name, profile in {"srgb": srgb, "swapped": swapped, "foreign": lab, "broken": b"no profile"}.items():
        Image.new("RGB", (80, 80), RED).save(tmp_path / f"{name}.png", icc_profile=profile)
    for name in ("srgb", "foreign", "broken"):
        assert close(pixel(read_photo(tmp_path / f"{name}.png", SIZE), 0.5, 0.5), RED), name
    assert close(pixel(read_photo(tmp_path / "swapped.png", SIZE), 0.5, 0.5), BLUE)


# Bad pictures


def bomb() -> bytes:
    """Return a PNG that claims 60,000 x 60,000 pixels."""
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )


def encoded(size: tuple[int, int] = (80, 80), kind: str = "PNG") -> bytes:
    """Return a picture of noise as a file's content."""
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


BAD = {
    "empty.png": (b"", "empty.png is empty"),
    "words.png": (b"these are only words", "words.png is not a picture that can be read"),
    "phone.heic": (b"\0\0\0\x18ftypheic", "phone.heic is not a picture that can be read"),
    "cut.png": (encoded()[:4000], "cut.png is damaged"),
    "cut.jpg": (encoded(kind="JPEG")[:1500], "cut.jpg is damaged"),
    "bomb.png": (bomb(), "bomb.png claims more pixels than any photo has; save a smaller copy"),
    "small.png": (
        encoded((200, 31)),
        "small.png is too small (200 x 31); its shorter side must be at least 32 pixels",
    ),
    "program.exe": (b"MZ\x90\0", "program.exe is not a picture that can be read"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_picture_costs_one_line_that_names_it(tmp_path: Path, name: str) -> None:
    content, line = BAD[name]
    (tmp_path / name).write_bytes(content)
    (tmp_path / "good.png").write_bytes(encoded())
    subject = read_from(tmp_path)
    assert [path.name for path in subject.paths] == ["good.png"]
    assert len(subject.photos) == 1
    assert len(subject.skipped) == 1
    assert line in subject.skipped[0]
    assert str(tmp_path) in subject.skipped[0]
    assert "\n" not in subject.skipped[0]


def test_only_bad_pictures_are_one_error_that_lists_all(tmp_path: Path) -> None:
    for name, (content, _) in BAD.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(BadPhoto, match="none of the pictures can be used") as caught:
        read_from(tmp_path)
    assert all(line in str(caught.value) for _, line in BAD.values())


def test_a_picture_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, *_: object) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    (tmp_path / "mine.png").write_bytes(encoded((32, 32)))
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(BadPhoto, match=r"mine\.png cannot be read: Permission denied"):
        read_photo(tmp_path / "mine.png", SIZE)


def test_a_picture_half_the_size_is_just_large_enough(tmp_path: Path) -> None:
    (tmp_path / "edge.png").write_bytes(encoded((32, 32)))
    assert read_photo(tmp_path / "edge.png", SIZE).size == (SIZE, SIZE)


# Folders and lists


def test_hidden_and_companion_files_are_passed_over_silently(tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(encoded())
    for name in (".DS_Store", "photo.txt", "notes.md", "meta.json", "settings.yaml"):
        (tmp_path / name).write_text("anything")
    (tmp_path / "more").mkdir()
    subject = read_from(tmp_path)
    assert [path.name for path in subject.paths] == ["photo.png"]
    assert subject.skipped == ()


def test_photos_come_in_natural_order(tmp_path: Path) -> None:
    names = ["IMG_2.png", "img_1.png", "IMG_10.png", "img_\u00b2.png", "a.png"]
    for name in names:
        (tmp_path / name).write_bytes(encoded())
    order = [path.name for path in read_from(tmp_path).paths]
    assert order == ["a.png", "img_1.png", "IMG_2.png", "IMG_10.png", "img_\u00b2.png"]


def test_one_picture_or_a_list_will_do(tmp_path: Path) -> None:
    folder = tmp_path / "misty"
    folder.mkdir()
    paths = [folder / "b.png", folder / "a.png"]
    for path in paths:
        path.write_bytes(encoded())
    single = read_from(paths[0])
    several = Subject.from_folder([str(path) for path in paths], "cat", size=SIZE)
    assert (single.name, single.paths) == ("b", (paths[0],))
    assert (several.name, several.paths) == ("misty", tuple(paths))
    assert read_from(folder).name == "misty"


def test_a_missing_picture_does_not_spoil_a_list(tmp_path: Path) -> None:
    (tmp_path / "here.png").write_bytes(encoded())
    subject = Subject.from_folder([tmp_path / "gone.png", tmp_path / "here.png"], "cat", size=SIZE)
    assert [path.name for path in subject.paths] == ["here.png"]
    assert subject.skipped == (f"{tmp_path / 'gone.png'} does not exist",)


def test_nothing_to_read_is_said_clearly(tmp_path: Path) -> None:
    with pytest.raises(BadPhoto, match=r"no pictures in .*; give a folder of photos"):
        read_from(tmp_path)
    with pytest.raises(BadPhoto, match="nowhere does not exist"):
        read_from(tmp_path / "nowhere")
    with pytest.raises(BadPhoto, match="no pictures in an empty list"):
        Subject.from_folder([], "cat")


# The subject


def test_the_prompt_names_token_and_class(tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(encoded())
    subject = read_from(tmp_path)
    assert subject.prompt("a photo of {}") == "a photo of sks cat"
    with pytest.raises(BadConfig, match=r"has no \{\} where the subject goes"):
        subject.prompt("a photo")


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"class_noun": " "}, "needs a class noun"),
        ({"token": ""}, "must be a single word"),
        ({"token": "two words"}, "must be a single word"),
        ({"token": "Cat"}, "is a word of the class"),
        ({"fit": "stretch"}, "crop or pad, not 'stretch'"),
    ],
)
def test_settings_that_cannot_work_are_refused(tmp_path: Path, settings: dict[str, str], complaint: str) -> None:
    (tmp_path / "photo.png").write_bytes(encoded())
    with pytest.raises(BadConfig, match=complaint):
        Subject.from_folder(tmp_path, **{"class_noun": "cat", "size": SIZE, **settings})  # type: ignore[arg-type]


def test_it_is_kept_how_photos_were_cut(tmp_path: Path) -> None:
    Image.new("RGB", (640, 480), RED).save(tmp_path / "1.png")
    Image.new("RGB", (100, 400), RED).save(tmp_path / "2.png")
    cropped = Subject.from_folder(tmp_path, "cat", size=96).framings
    assert [(f.original, f.crop, f.target) for f in cropped] == [
        ((480, 640), (0, 16), (96, 96)),
        ((400, 100), (144, 0), (96, 96)),
    ]
    padded = Subject.from_folder(tmp_path, "cat", size=96, fit="pad").framings
    assert [(f.original, f.crop) for f in padded] == [((480, 640), (0, 0)), ((400, 100), (0, 0))]
