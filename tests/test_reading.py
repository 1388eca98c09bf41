"""Only plain files are opened, only so much of them is read, and YAML stays within bounds."""

import os
import socket
from pathlib import Path

import pytest

from portraitist.adapters import load_adapter
from portraitist.errors import BadConfig, BadFile, BadPhoto
from portraitist.photos import decode_photo
from portraitist.reading import parse_yaml, read_text, read_yaml
from portraitist.training.inputs.companions import read_mask
from portraitist.training.recipes.recipe import load_recipe


def test_pipes_devices_and_sockets_are_refused_as_what_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # the name of a socket may not be long
    os.mkfifo("pipe")
    server = socket.socket(socket.AF_UNIX)
    server.bind("socket")
    for name, kind in (("pipe", "a pipe"), ("socket", "a socket"), ("/dev/zero", "a device"), (".", "a folder")):
        with pytest.raises(BadPhoto, match=f"{name} is {kind}, not a photo"):
            decode_photo(Path(name))
        with pytest.raises(BadFile, match=f"{name} is {kind}, not an adapter file"):
            load_adapter(name)
        with pytest.raises(BadConfig, match=f"it is {kind}, not a recipe"):
            read_yaml(Path(name), "recipe")
    server.close()
    Path("a.png").touch()
    os.mkfifo("a.mask.png")
    with pytest.raises(BadPhoto, match="is a pipe"):
        read_mask(Path("a.png"))


def test_text_is_short_and_in_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("x" * 100)
    with pytest.raises(BadFile, match="too long for a caption"):
        read_text(path, "a caption", limit=99)
    path.write_bytes("prüfen".encode("utf-16"))
    with pytest.raises(BadFile, match=r"is not text in UTF-8 \(byte 0\); save it as UTF-8"):
        read_text(path, "a caption")
    path.write_bytes("\ufeffprüfen".encode())
    assert read_text(path, "a caption") == "prüfen"
    with pytest.raises(BadFile, match="does not exist"):
        read_text(tmp_path / "none", "a caption")


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)
)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (BOMB, "more than 100,000 values"),
        ("a: &a [*a]", "refers to itself"),
        ("[" * 3000, "nested more than 50 deep"),
        ("- " * 3000 + "a", "nested more than 50 deep"),
        ("a: " + "9" * 5000, "a number has 5,000 digits"),
        ("a: 0x" + "f" * 5000, "a number has 5,002 digits"),
        ("a: 2024-99-99", "month"),
        ("a: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
        ("a: [", "expected"),
        ('a: "half \\ud800"', "surrogates not allowed"),
        ("{[a]: 1}", "unhashable"),
    ],
    ids=["bomb", "circle", "flow", "block", "digits", "hexadecimal", "date", "tag", "open", "surrogate", "key"],
)
def test_yaml_beyond_bounds_is_one_line(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint) as caught:
        parse_yaml(text)
    assert "\n" not in str(caught.value)
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(BadConfig, match="cannot read the recipe") as refused:
        load_recipe("lora", "toyland", "sd", file=tmp_path / "a.yaml")
    assert "\n" not in str(refused.value)


def test_references_within_bounds_are_read() -> None:
    assert parse_yaml("a: &a {x: 1e-4}\nb: *a\nc: {<<: *a, y: 2}") == {
        "a": {"x": 1e-4},
        "b": {"x": 1e-4},
        "c": {"x": 1e-4, "y": 2},
    }
