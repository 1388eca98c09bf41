"""Photo folders as sd-scripts wants them: ``10_sks cat`` holds photos of a sks cat, each shown ten times an epoch."""

import re
from pathlib import Path

from portraitist.requests.choices import SubjectChoice

_NAME = re.compile(r"\d+_(?P<token>[^\W\d]\S*) (?P<noun>\S.*)")


def kohya_subjects(folder: Path) -> tuple[SubjectChoice, ...]:
    """Return the subjects of a folder with such a name, or of one that holds such folders; none of any other.

    Repeats are left out: here every photo of a subject is seen equally often, and steps say for how long.
    """
    if not folder.is_dir():
        return ()
    inside = sorted(path for path in folder.iterdir() if path.is_dir())
    named = [(path, match) for path in (folder, *inside) if (match := _NAME.fullmatch(path.resolve().name))]
    by_words: dict[tuple[str, str], list[Path]] = {}
    for path, match in named:
        by_words.setdefault((match["token"], match["noun"]), []).append(path)
    return tuple(
        SubjectChoice(photos=tuple(paths), class_noun=noun, token=token) for (token, noun), paths in by_words.items()
    )
