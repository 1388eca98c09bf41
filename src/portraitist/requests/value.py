"""Plain values that go over a wire: they do not change, know no unknown names, and are JSON both ways."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from portraitist.errors import BadConfig

SomeValue = TypeVar("SomeValue", bound="Value")


class Value(BaseModel):
    """Base of everything that doors hand over and get back."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def parse(cls: type[SomeValue], values: Mapping[str, Any]) -> SomeValue:
        """Build it from plain values.

        Raises:
            BadConfig: Naming the value that is wrong and why; of an unknown name, the nearest one there is.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise BadConfig(_complaint(cls, error)) from error

    @classmethod
    def from_json(cls: type[SomeValue], text: str | bytes) -> SomeValue:
        """Build it from JSON.

        Raises:
            BadConfig: If it is no JSON, or as `parse` does.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise BadConfig(_complaint(cls, error)) from error

    def to_json(self) -> str:
        """Return it as JSON, which `from_json` reads."""
        return self.model_dump_json()


def _complaint(cls: type[BaseModel], error: ValidationError) -> str:
    """Say in one line what is wrong with the first wrong value."""
    first = error.errors(include_url=False)[0]
    place = ".".join(map(str, first["loc"])) or "the request"
    if first["type"] != "extra_forbidden":
        return f"{place}: {first['msg']}"
    near = get_close_matches(place, cls.model_fields, 1)
    return f"nothing is named {place!r} here" + (f"; did you mean {near[0]}?" if near else "")
