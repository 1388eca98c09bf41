"""Advice as data."""

import pytest

from portraitist.errors import BadPhoto
from portraitist.requests.advice import Advice


@pytest.mark.parametrize(
    ("line", "text", "remedy"),
    [
        ("the prompt lacks 'sks'; write 'sks cat'", "the prompt lacks 'sks'", "write 'sks cat'"),
        ("a thing; do this; or that", "a thing", "do this; or that"),
        ("nothing can be done", "nothing can be done", ""),
    ],
)
def test_a_line_is_what_it_is_and_what_to_do(line: str, text: str, remedy: str) -> None:
    advice = Advice.of(line)
    assert (advice.severity, advice.text, advice.remedy, advice.line) == ("warning", text, remedy, line)


def test_an_error_is_advice_of_the_gravest_kind() -> None:
    advice = Advice.of_error(BadPhoto("a.png is empty; give another"))
    assert advice == Advice(severity="error", text="a.png is empty", remedy="give another")
