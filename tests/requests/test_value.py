"""Values over a wire: JSON both ways, one line for what is wrong."""

import pytest

from portraitist.errors import BadConfig
from portraitist.requests.choices import AdapterChoice, BaseChoice
from portraitist.requests.generate import GenerateRequest


def test_a_value_is_the_same_after_json() -> None:
    request = GenerateRequest.parse(
        {
            "prompts": ["a cat", "a dog"],
            "adapters": [{"file": "a.safetensors", "scale": 0.5}],
            "regions": [{"place": "left", "prompt": "a cat", "adapter": {"file": "b.safetensors"}, "start": 0.1}],
            "base": {"name": "toyland", "precision": "fp16"},
            "guidance": 3,
        }
    )
    again = GenerateRequest.from_json(request.to_json())
    assert again == request
    assert again.adapters == (AdapterChoice(file="a.safetensors", scale=0.5),)
    assert again.base == BaseChoice(name="toyland", precision="fp16")


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({}, "prompts: Field required"),
        ({"prompts": ["a"], "guidanse": 3}, "there is no setting 'guidanse'; did you mean guidance?"),
        ({"prompts": ["a"], "base": {"nam": "toyland"}}, "there is no setting 'base.nam'; did you mean base.name?"),
        ({"prompts": ["a"], "count": 0}, "count: Input should be greater than or equal to 1"),
        ({"prompts": ["a"], "adapters": [{"file": "a", "scale": "nan"}]}, "adapters.0.scale: Input should be a finite"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(values: dict[str, object], complaint: str) -> None:
    with pytest.raises(BadConfig, match=complaint.replace("?", r"\?")):
        GenerateRequest.parse(values)


def test_text_that_is_no_json_is_refused() -> None:
    with pytest.raises(BadConfig, match="the request: Invalid JSON"):
        GenerateRequest.from_json("{")
