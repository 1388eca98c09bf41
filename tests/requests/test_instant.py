from pathlib import Path

import pytest
from PIL import Image

from portraitist.errors import BadConfig
from portraitist.requests.instant import InstantRequest


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    Image.new("RGB", (32, 32)).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def test_a_request_travels_as_json(photo: Path, tmp_path: Path) -> None:
    request = InstantRequest(photos=(photo,), class_noun="cat", output=tmp_path / "a.safetensors", refine=40)
    assert InstantRequest.from_json(request.to_json()) == request
    assert request.review() == []


def test_the_prediction_alone_is_kept_beside_a_refined_one(photo: Path, tmp_path: Path) -> None:
    plain = InstantRequest(photos=(photo,), class_noun="cat", output=tmp_path / "a.safetensors")
    assert plain.predicted_file == plain.output
    refined = plain.model_copy(update={"refine": 40})
    assert refined.predicted_file == tmp_path / "a-predicted.safetensors"


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"photos": ()}, "there is no photo"),
        ({"photos": ("nowhere.png",)}, "nowhere.png does not exist"),
        ({"class_noun": " "}, "needs a class noun"),
        ({"output": Path("a.bin")}, "ends in .safetensors"),
        ({"base": {"precision": "fp8"}}, "unknown precision"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(values: dict[str, object], complaint: str, photo: Path) -> None:
    given = {"photos": (photo,), "class_noun": "cat", "output": photo.with_name("a.safetensors"), **values}
    (advice,) = InstantRequest.parse(given).review()
    assert complaint in advice.line


def test_files_that_are_there_stay(photo: Path, tmp_path: Path) -> None:
    (tmp_path / "a-predicted.safetensors").write_bytes(b"")
    request = InstantRequest(photos=(photo,), class_noun="cat", output=tmp_path / "a.safetensors", refine=2)
    assert "exists already" in request.review()[0].line
    assert request.model_copy(update={"overwrite": True}).review() == []


def test_strong_guidance_is_advised_against_and_none_refused(photo: Path, tmp_path: Path) -> None:
    given = {"photos": (photo,), "class_noun": "cat", "output": tmp_path / "a.safetensors"}
    assert "distorts" in InstantRequest.parse({**given, "guidance": 9}).review()[0].text
    assert "--refine" in InstantRequest.parse({**given, "least_rank": 1}).review()[0].text
    with pytest.raises(BadConfig, match="guidance"):
        InstantRequest.parse({**given, "guidance": 0})
