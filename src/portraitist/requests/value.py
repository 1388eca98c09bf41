"""Plain values that go over a wire: they do not change, know no unknown names, and are JSON both ways."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from portraitist.errors import BadConfig
from portraitist.wrong_values import first_wrong_value

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
            raise BadConfig(first_wrong_value(error, cls, "the request")) from error

    @classmethod
    def from_json(cls: type[SomeValue], text: str | bytes) -> SomeValue:
        """Build it from JSON.

        Raises:
            BadConfig: If it is no JSON, or as `parse` does.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise BadConfig(first_wrong_value(error, cls, "the request")) from error

    def to_json(self) -> str:
        """Return it as JSON, which `from_json` reads."""
        return self.model_dump_json()
