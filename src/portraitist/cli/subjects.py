"""Who is to be taught, as the command line says it: photos with a class, or several subjects."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from portraitist.errors import BadConfig

DEFAULT_TOKEN = "sks"
_SPELLING = "--subject PHOTOS:CLASS:TOKEN, as in --subject my-cat:cat:sks"

SubjectsOption = Annotated[
    list[str] | None,
    typer.Option("--subject", metavar="PHOTOS:CLASS:TOKEN", help="One of several subjects; given twice or more."),
]


@dataclass(frozen=True)
class GivenSubject:
    """A subject before its photos are read."""

    photos: tuple[Path, ...]
    class_noun: str
    token: str


def choose_subjects(
    photos: list[Path] | None, class_noun: str | None, token: str, several: list[str] | None, mixed: bool
) -> list[GivenSubject]:
    """Return the subjects to teach.

    Args:
        photos: Folders or pictures of one subject.
        class_noun: Its class.
        token: Its token.
        several: Spellings of several subjects.
        mixed: Whether they are to be shown in collages.

    Raises:
        BadConfig: If nobody is given, or one and several at once, or a spelling is wrong.
    """
    if several:
        if photos or class_noun is not None or token != DEFAULT_TOKEN:
            raise BadConfig(f"give either photos with --class and --token, or each subject with {_SPELLING}")
        if len(several) == 1:
            raise BadConfig("one subject is taught without --subject: portraitist train PHOTOS --class CLASS")
        return [parse_subject(text) for text in several]
    if mixed:
        raise BadConfig(f"collages show several subjects; give each with {_SPELLING}")
    if not photos:
        raise BadConfig("there are no photos; give a folder of them, and --class")
    if class_noun is None or not class_noun.strip():
        raise BadConfig("the subject needs a class noun, such as cat or backpack: --class cat")
    return [GivenSubject(tuple(photos), class_noun, token)]


def parse_subject(text: str) -> GivenSubject:
    """Parse ``PHOTOS:CLASS:TOKEN``; the path may hold colons.

    Raises:
        BadConfig: If a part is missing.
    """
    parts = [part.strip() for part in text.rsplit(":", 2)]
    if len(parts) != 3 or not all(parts):
        raise BadConfig(f"a subject is spelt {_SPELLING}, not {text!r}")
    return GivenSubject((Path(parts[0]),), parts[1], parts[2])
