"""The example subjects that ship with the package: folders of photos with a class noun each."""

import json
import shutil
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path

from portraitist.errors import BadConfig, BadFile
from portraitist.files import require_writable, write_aside

_FOLDER = Path(str(files("portraitist.bases"))) / "builtin" / "examples"
_LIST = "subjects.json"


@dataclass(frozen=True)
class Example:
    """An example subject.

    Attributes:
        name: Its name, and that of its folder.
        class_noun: What kind of thing it is.
        folder: Where its photos are.
        scenes: Scenes it was photographed in.
        licence: Who drew the artwork, and on which terms.
    """

    name: str
    class_noun: str
    folder: Path
    scenes: tuple[str, ...]
    licence: str

    @property
    def photos(self) -> list[Path]:
        """Return the photos in order."""
        return sorted(self.folder.glob("*.png"))


def list_examples() -> list[Example]:
    """Return all example subjects."""
    entries = json.loads((_FOLDER / _LIST).read_text())
    return [
        Example(entry["name"], entry["class"], _FOLDER / entry["name"], tuple(entry["scenes"]), entry["licence"])
        for entry in entries
    ]


def get_example(name: str) -> Example:
    """Return an example subject by name.

    Raises:
        BadConfig: If there is none, naming those there are.
    """
    examples = {example.name: example for example in list_examples()}
    if name not in examples:
        near = get_close_matches(name, examples, 1)
        hint = f"did you mean {near[0]}?" if near else f"choose one of {', '.join(examples)}"
        raise BadConfig(f"there is no example subject {name!r}; {hint}")
    return examples[name]


def copy_examples(target: Path) -> list[Path]:
    """Copy the photo folders and their list to a folder of the user's.

    Returns:
        The folders, one a subject.

    Raises:
        BadFile: If one of them is there already.
    """
    examples = list_examples()
    folders = [target / example.name for example in examples]
    for path in (target / _LIST, *folders):
        if path.exists():
            raise BadFile(f"{path} exists already; choose another folder with -o")
    require_writable(target, sum(photo.stat().st_size for example in examples for photo in example.photos))
    for example, folder in zip(examples, folders, strict=True):
        for photo in example.photos:
            with write_aside(folder / photo.name) as temporary:
                shutil.copyfile(photo, temporary)
    with write_aside(target / _LIST) as temporary:
        shutil.copyfile(_FOLDER / _LIST, temporary)
    return folders
