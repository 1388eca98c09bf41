"""A training request before it is opened: what is wrong with it, all at once."""

from pathlib import Path

import pytest

from portraitist.errors import BadConfig
from portraitist.requests.train import TrainRequest


def test_everything_that_is_wrong_is_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    request = TrainRequest.parse(
        {
            "subjects": [{"photos": ["nowhere"], "class_noun": " "}],
            "collages": "cut-mix",
            "base": {"precision": "int8"},
            "fit": "stretch",
            "output": "a.ckpt",
        }
    )
    found = request.review()
    assert {each.severity for each in found} == {"error"}
    assert [each.line.split(";")[0] for each in found] == [
        "the subject needs a class noun, such as cat or backpack: --class cat",
        "nowhere does not exist",
        "unknown precision 'int8'",
        "pictures can be fitted by crop or pad, not 'stretch'",
        "an adapter file ends in .safetensors, which a.ckpt does not",
    ]
    with pytest.raises(BadConfig, match="needs a class noun"):
        request.check()


def test_no_photos_are_one_complaint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for subjects in ([], [{"photos": [], "class_noun": "cat"}]):
        (only,) = TrainRequest.parse({"subjects": subjects, "resume": True}).review()
        assert only.text == "there are no photos"


def test_the_file_is_named_after_the_photos(tmp_path: Path) -> None:
    one, other = ({"photos": [tmp_path / name], "class_noun": name} for name in ("cat", "dog"))
    assert TrainRequest.parse({"subjects": [one, other]}).file == Path("cat-and-dog.safetensors")
    assert TrainRequest.parse({"subjects": [one], "output": tmp_path}).file == tmp_path / "cat.safetensors"
    assert TrainRequest.parse({"subjects": [one], "output": "a.safetensors"}).file == Path("a.safetensors")


def test_a_run_that_cannot_be_resumed_is_hinted_at(tmp_path: Path) -> None:
    subject = {"photos": [tmp_path], "class_noun": "cat"}
    request = TrainRequest.parse({"subjects": [subject], "output": tmp_path / "a.safetensors", "resume": True})
    (hint,) = request.review()
    assert (hint.severity, hint.remedy) == ("warning", "starting from scratch")
