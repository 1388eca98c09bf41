"""Who is to be taught, as the command line says it: photos with a class, or several subjects."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from portraitist.errors import BadConfig
from portraitist.requests.usual import DEFAULT_TOKEN

if TYPE_CHECKING:
    from portraitist.requests.choices import SubjectChoice

_SPELLING = "--subject PHOTOS:CLASS:TOKEN, as in --subject my-cat:cat:sks"

SubjectsOption = Annotated[
    list[str] | None,
    typer.Option("--subject", metavar="PHOTOS:CLASS:TOKEN", help="One of several subjects; repeat for each."),
]


def choose_subjects(
    photos: list[Path] | None, class_noun: str | None, token: str, several: list[str] | None
) -> "tuple[SubjectChoice, ...]":
    """Return the subjects to teach; what is missing of them, the request says.

    Args:
        photos: Folders or pictures of one subject; a single folder in sd-scripts' layout names its subjects itself.
        class_noun: Its class.
        token: Its token.
        several: Spellings of several subjects.

    Raises:
        BadConfig: If one subject and several are given at once, only one of several, or a spelling is wrong.
    """
    from portraitist.requests.choices import SubjectChoice
    from portraitist.requests.kohya_folders import kohya_subjects

    if photos and len(photos) == 1 and class_noun is None and token == DEFAULT_TOKEN and not several:
        named = kohya_subjects(photos[0])
        if named:
            return named
    if several:
        if photos or class_noun is not None or token != DEFAULT_TOKEN:
            raise BadConfig(f"give either photos with --class and --token, or each subject with {_SPELLING}")
        if len(several) == 1:
            raise BadConfig("one subject is taught without --subject: portraitist train PHOTOS --class CLASS")
        return tuple(parse_subject(text) for text in several)
    return (SubjectChoice(photos=tuple(photos or ()), class_noun=class_noun or "", token=token),)


def parse_subject(text: str) -> "SubjectChoice":
    """Parse ``PHOTOS:CLASS:TOKEN``; the path may hold colons.

    Raises:
        BadConfig: If a part is missing.
    """
    from portraitist.requests.choices import SubjectChoice

    parts = [part.strip() for part in text.rsplit(":", 2)]
    if len(parts) != 3 or not all(parts):
        raise BadConfig(f"a subject is written {_SPELLING}, not {text!r}")
    return SubjectChoice(photos=(Path(parts[0]),), class_noun=parts[1], token=parts[2])
