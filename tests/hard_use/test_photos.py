"""Bad photos of many kinds: each is named or read, at once, and none costs memory."""

import io
import os
import shutil
import socket
import struct
import tempfile
import traceback
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from portraitist.errors import BadPhoto
from portraitist.randomness import numpy_generator
from portraitist.training.inputs.companions import read_caption, read_mask
from portraitist.training.subjects import Subject

from .conftest import how_many
from .counting import times_table
from .forks import limit_memory, one_by_one

_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "TGA", "ICO", "JPEG2000", "AVIF")
_MODES = {"GIF": "P", "ICO": "RGBA"}


def encoded(format: str) -> bytes:
    image, buffer = Image.effect_mandelbrot((64, 64), (-2, -1.5, 1, 1.5), 20), io.BytesIO()
    image.convert(_MODES.get(format, "RGB")).save(buffer, format=format)
    return buffer.getvalue()


def png_of_size(width: int, height: int) -> bytes:
    """Return a PNG that claims a size and holds nothing of it."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def strange_things() -> dict[str, Callable[[Path], object]]:
    """Return what may stand where a photo should, each with what makes it."""

    def tiff(values: np.ndarray) -> Callable[[Path], object]:
        return lambda path: Image.fromarray(values).save(path, format="TIFF")

    def bound(path: Path) -> None:
        os.chdir(path.parent)
        socket.socket(socket.AF_UNIX).bind(path.name)

    def whole(content: bytes) -> Callable[[Path], object]:
        return lambda path: path.write_bytes(content)

    ramp = np.linspace(-1e30, 1e30, 4096, dtype=np.float32).reshape(64, 64)
    return {
        "a pipe": os.mkfifo,
        "a socket": bound,
        "a device": lambda path: path.symlink_to("/dev/zero"),
        "a folder": lambda path: path.mkdir(),
        "a loop": lambda path: path.symlink_to(path),
        "a link to nothing": lambda path: path.symlink_to("nothing"),
        "nothing": lambda path: None,
        "empty": whole(b""),
        "text": whole(b"a cat\n" * 1000),
        "zeros": whole(bytes(10_000)),
        "a bomb": whole(png_of_size(60_000, 60_000)),
        "a wide one": whole(png_of_size(2**30, 1)),
        "no pixels": whole(png_of_size(0, 0)),
        "few pixels": whole(encoded("PNG")[:80]),
        "not a number": tiff(np.full((64, 64), np.nan, dtype=np.float32)),
        "infinite": tiff(np.full((64, 64), np.inf, dtype=np.float32)),
        "far apart": tiff(ramp),
        "whole numbers": tiff(np.arange(4096, dtype=np.int32).reshape(64, 64) * 1000),
        "PostScript": lambda path: Image.new("RGB", (64, 64)).save(path, format="EPS"),
        "PDF": lambda path: Image.new("RGB", (64, 64)).save(path, format="PDF"),
        "SVG": whole(b'<svg xmlns="http://www.w3.org/2000/svg"><image href="/etc/passwd"/></svg>'),
    }


def read(path: Path) -> str:
    """Read a photo as training does, and its companions."""
    try:
        subject = Subject.from_folder(path, "cat", size=32)
        read_mask(path)
        read_caption(subject, path, "a photo of a cat")
        return "read" if subject.photos[0].size == (32, 32) else "accepted though damaged"
    except BadPhoto as error:
        return "named" if "\n" not in str(error) else "traceback: several lines"
    except MemoryError:
        return "slow: memory"
    except Exception:
        return f"traceback: {traceback.format_exc()[-600:]}"


def spoil(content: bytes, rng: np.random.Generator) -> bytes:
    """Damage the bytes of a picture."""
    spoilt = bytearray(content)
    match int(rng.integers(3)):
        case 0:
            del spoilt[rng.integers(len(spoilt)) :]
        case 1:
            for _ in range(rng.integers(1, 9)):
                spoilt[rng.integers(len(spoilt))] ^= 1 << int(rng.integers(8))
        case 2:  # where sizes stand
            spoilt[rng.integers(min(64, len(spoilt)))] = int(rng.integers(256))
    return bytes(spoilt)


def test_bad_photos(report: Callable[[str, str], None]) -> None:
    good, strange = {name: encoded(name) for name in _FORMATS}, strange_things()
    cases: list[tuple[str, int]] = [(name, 0) for name in strange]
    cases += [(name, number) for name in good for number in range(-(-how_many("PHOTOS", 110) // len(good)))]

    def work(case: tuple[str, int]) -> str:
        name, number = case
        folder = Path(tempfile.mkdtemp())
        path = folder / "photo.png"
        try:
            if name in strange:
                strange[name](path)
            else:
                path.write_bytes(spoil(good[name], numpy_generator(number, f"photos {name}")))
            return read(path)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    found = list(one_by_one(cases, work, 20, lambda: limit_memory(2 * 2**30)))
    counts = Counter(said.partition(":")[0] for said in found)
    report("Bad photos", times_table("photo", counts))
    bad = [f"{case}: {said}" for case, said in zip(cases, found, strict=True) if said not in ("read", "named")]
    assert not bad, "\n".join(bad[:10])


def test_companions_that_are_no_files(tmp_path: Path) -> None:
    for name in ("photo.txt", "photo.mask.png"):
        folder = tmp_path / name.replace(".", "-")
        folder.mkdir()
        (folder / "photo.png").write_bytes(encoded("PNG"))
        os.mkfifo(folder / name)
        assert read(folder / "photo.png") == "named"
    folder = tmp_path / "long"
    folder.mkdir()
    (folder / "photo.png").write_bytes(encoded("PNG"))
    with (folder / "photo.txt").open("wb") as file:
        file.truncate(50 * 10**6)
    assert read(folder / "photo.png") == "named"
