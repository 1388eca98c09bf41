"""What is said of values that are no settings."""

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from portraitist.wrong_values import first_wrong_value


class Group(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str
    rate: float = 1.0


class Whole(BaseModel):
    model_config = ConfigDict(extra="forbid")
    group: Group | None = None
    several: list[str | Group] = Field([], alias="many")
    by_name: dict[str, Group] = {}
    steps: int


def said(values: object) -> str:
    with pytest.raises(ValidationError) as caught:
        Whole.model_validate(values)
    return first_wrong_value(caught.value, Whole)


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({}, "steps: Field required"),
        ({"stepz": 3}, "there is no setting 'stepz'; did you mean steps?"),
        ({"steps": 3, "Steps": 3}, "there is no setting 'Steps'; did you mean steps?"),
        ({"steps": 3, "colour": 1}, "there is no setting 'colour'"),
        ({"steps": 3, "group": {"nam": "a"}}, "there is no setting 'group.nam'; did you mean group.name?"),
        (
            {"steps": 3, "group": "adamw"},
            "group is a group of settings (name, rate); did you mean group.name=adamw?",
        ),
        ({"steps": 3, "group": {"name": "a", "rate": "fast"}}, "group.rate: Input should be a valid number"),
        ({"steps": 3, "mny": []}, "there is no setting 'mny'; did you mean many?"),
        ({"steps": 3, "many": ["a", {"nme": "a"}]}, "there is no setting 'many.1.nme'; did you mean many.1.name?"),
        ({"steps": 3, "by_name": {"a b": {"ratte": 1}}}, "there is no setting 'by_name.a b.ratte'"),
        (3, "the file: Input should be a valid dictionary"),
    ],
)
def test_the_wrong_value_is_named(values: object, complaint: str) -> None:
    assert said(values).startswith(complaint)
