"""What a user should know about a request, as a value: a door decides how it is shown."""

from typing import Literal

from portraitist.errors import PortraitistError
from portraitist.requests.value import Value

Severity = Literal["note", "warning", "error"]


class Advice(Value):
    """One thing to know.

    Attributes:
        severity: A note tells, a warning is about a result that may disappoint, with an error nothing can be done.
        text: What it is.
        remedy: What to do about it; empty where there is nothing to be done.
    """

    severity: Severity
    text: str
    remedy: str = ""

    @classmethod
    def of(cls, line: str, severity: Severity = "warning") -> "Advice":
        """Read a line of ours: what it is, and behind a semicolon what to do."""
        text, _, remedy = line.partition("; ")
        return cls(severity=severity, text=text, remedy=remedy)

    @classmethod
    def of_error(cls, error: PortraitistError) -> "Advice":
        """Return an error as advice."""
        return cls.of(str(error), "error")

    @property
    def line(self) -> str:
        """Return everything in one line."""
        return f"{self.text}; {self.remedy}" if self.remedy else self.text
