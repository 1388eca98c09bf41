"""A request for a set of identities before it is opened: what is wrong with it, all at once."""

from pathlib import Path

import pytest

from portraitist.requests.identities import IdentitiesRequest


def ask(**values: object) -> IdentitiesRequest:
    return IdentitiesRequest.parse({"source": "toyland:people", "output": "set", **values})


def test_everything_that_is_wrong_is_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "cat.png").write_bytes(b"")
    found = ask(source="toyland:dogs", target="svdiff", base={"precision": "int8"}).review()
    assert {each.severity for each in found} == {"error"}
    assert [each.text for each in found] == [
        "toyland has no kind 'dogs'",
        "targets can be lidb or lora, or none, not 'svdiff'",
        "unknown precision 'int8'",
        "set already exists and is not a set of identities",
    ]


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"split": "exam"}, "identities are split into train, validation, test"),
        ({"class_noun": "person"}, "toyland's identities have class nouns of their own"),
        ({"source": "nowhere"}, "nowhere is not a folder"),
        ({"source": ".", "kinds": ["cats"]}, "--kinds chooses among toyland's"),
        ({"steps": 100}, "without targets their settings (--steps, --set, --scenes, --frozen-a, --learned-a, --a-of)"),
        ({"target": "lora", "learned_a": 9, "given_a": "x"}, "--a-of takes the factor A that another set learned"),
        ({"source": ".", "alike": 2}, "--alike is for toyland's identities"),
        ({"alike": 9}, "--alike 9 is more than --photos 6"),
        ({"vary": 3}, "--vary is for folders of photos"),
        ({"detector": "yunet.onnx"}, "faces need two networks"),
        ({"target": "lidb", "frozen_a": True}, "--frozen-a, --learned-a and --a-of are about the factor A"),
        ({"executor": "slurm"}, "no executor is named 'slurm'"),
    ],
)
def test_what_cannot_be_is_refused(values: dict[str, object], complaint: str) -> None:
    (only,) = ask(**values).review()
    assert only.line.startswith(complaint)


def test_single_photos_are_advised_against() -> None:
    (only,) = ask(photos=1).review()
    assert (only.severity, only.remedy) == ("warning", "use --photos 2 or more")
    assert ask().review() == []
