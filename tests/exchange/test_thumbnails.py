"""Thumbnails are small, come back from files, and are never trusted."""

import base64
import io
import json
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from portraitist.adapters import Adapter, save_adapter
from portraitist.bases import Base
from portraitist.errors import BadPhoto
from portraitist.exchange.converting import convert
from portraitist.exchange.inspecting import inspect_file
from portraitist.exchange.thumbnails import BYTES, KEY, SIDE, is_handed_on, make_thumbnail, thumbnail_size


@pytest.fixture
def lora(base: Base, draw_adapter: Callable[..., Adapter], tmp_path: Path) -> Path:
    save_adapter(
        draw_adapter(base.components, "lora", ["unet.mid_block*attn1.to_q"], rank=2), tmp_path / "a.safetensors"
    )
    return tmp_path / "a.safetensors"


def picture(path: Path, width: int = 800, height: int = 400) -> Path:
    Image.effect_noise((width, height), 100).convert("RGB").save(path)
    return path


def metadata(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as file:
        return file.metadata()


def uri(width: int, height: int, format: str = "JPEG") -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height)).save(buffer, format=format)
    return f"data:image/{format.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def test_a_thumbnail_is_small_whatever_the_picture(tmp_path: Path) -> None:
    for width, height, size in ((800, 400, (256, 128)), (60, 90, (60, 90))):
        with Image.open(picture(tmp_path / "p.png", width, height)) as shown:
            made = make_thumbnail(shown)
        assert len(base64.b64decode(made.partition(",")[2])) <= BYTES
        found = thumbnail_size(made)
        assert found is not None
        assert max(found) <= SIDE
        assert found[0] / found[1] == pytest.approx(size[0] / size[1], rel=0.02)
        assert is_handed_on(made)


@pytest.mark.parametrize("to", ["kohya", "diffusers", "portraitist", "peft"])
def test_files_carry_it_and_conversions_keep_it(lora: Path, tmp_path: Path, to: str) -> None:
    target = tmp_path / ("b" if to == "peft" else "b.safetensors")
    convert(lora, target, to, thumbnail=picture(tmp_path / "p.png", 128, 128))
    found = inspect_file(target)
    assert found.thumbnail == "128 x 128"
    assert "base64" not in found.to_json()
    assert json.loads(found.to_json())["thumbnail"] == "128 x 128"
    convert(target, tmp_path / "c.safetensors", "kohya")
    assert thumbnail_size(metadata(tmp_path / "c.safetensors")[KEY]) == (128, 128)
    assert all("base64" not in text for key, text in metadata(tmp_path / "c.safetensors").items() if key != KEY)


def test_without_a_picture_there_is_none(lora: Path, tmp_path: Path) -> None:
    convert(lora, tmp_path / "b.safetensors", "kohya")
    assert KEY not in metadata(tmp_path / "b.safetensors")
    assert inspect_file(tmp_path / "b.safetensors").thumbnail is None
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(BadPhoto):
        convert(lora, tmp_path / "c.safetensors", "kohya", thumbnail=tmp_path / "text.png")
    assert not (tmp_path / "c.safetensors").exists()


@pytest.mark.parametrize(
    ("held", "said"),
    [
        (uri(512, 512), "512 x 512"),
        (uri(64, 32, "PNG"), "64 x 32"),
        (uri(300, 20, "WEBP"), "300 x 20"),
        (uri(8, 8, "GIF"), "unreadable"),
        ("data:image/jpeg;base64,AAAA", "unreadable"),
        ("data:image/jpeg;base64,ü!", "unreadable"),
        ("data:image/svg+xml;base64,PHN2Zy8+", "unreadable"),
        ("https://example.org/a.jpg", "unreadable"),
        ("", "unreadable"),
        ("data:image/jpeg;base64," + "A" * 3_000_000, "unreadable"),
    ],
)
def test_those_of_others_are_not_trusted(lora: Path, tmp_path: Path, held: str, said: str) -> None:
    convert(lora, tmp_path / "b.safetensors", "kohya")
    other = tmp_path / "other.safetensors"
    save_file(load_file(tmp_path / "b.safetensors"), other, {**metadata(tmp_path / "b.safetensors"), KEY: held})
    assert inspect_file(other).thumbnail == said
    for to in ("kohya", "portraitist"):
        convert(other, tmp_path / f"{to}.safetensors", to)
        kept = inspect_file(tmp_path / f"{to}.safetensors").thumbnail
        assert kept == (said if is_handed_on(held) else None)


@pytest.mark.parametrize("side", [2**31 - 1, 15_000, 10_000])
def test_a_size_that_no_thumbnail_has_is_none(side: int) -> None:
    content = bytearray(base64.b64decode(uri(16, 16, "PNG").partition(",")[2]))
    content[16:24] = side.to_bytes(4) * 2
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4)
    claimed = f"data:image/png;base64,{base64.b64encode(content).decode()}"
    assert thumbnail_size(claimed) is None
    assert not is_handed_on(claimed)
