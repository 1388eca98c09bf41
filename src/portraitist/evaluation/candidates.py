"""What is evaluated: adapters, or pictures that were generated before, with the photos of their subjects."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from portraitist.adapters import SubjectFacts
from portraitist.bases.examples import list_examples
from portraitist.errors import BadConfig, BadFile, BadPhoto
from portraitist.evaluation.protocol import Protocol, ProtocolSubject
from portraitist.exchange.loading import read_provenance
from portraitist.generation.notes import noted_prompt
from portraitist.photos import decode_readable, list_photos

SUFFIX = ".safetensors"
_LIST = "metadata.jsonl"
_TOKEN = "sks"
_VOWELS = set("aeiou")


@dataclass(frozen=True)
class Candidate:
    """One subject, its photos, and an adapter or a folder of pictures.

    Attributes:
        subject: The subject, with its class and its prompts.
        photos: Folder of its photos.
        adapter: Adapter file, if pictures are to be generated.
        pictures: Folder of generated pictures, if there are.
        token: The word that means the subject in prompts.
        training_seconds: How long the adapter was trained, if its file says so.
    """

    subject: ProtocolSubject
    photos: Path
    adapter: Path | None = None
    pictures: Path | None = None
    token: str = _TOKEN
    training_seconds: float | None = None


def find_candidates(
    what: Path, photos: Path | None, protocol: Protocol, class_noun: str | None = None, token: str | None = None
) -> list[Candidate]:
    """Pair adapters or pictures with photos.

    Args:
        what: An adapter file; a folder of adapter files named after their subjects; a folder of pictures; or a folder
            of such folders named after their subjects.
        photos: The subject's photos, or a folder of photo folders named after their subjects; None takes the examples
            that ship with the package.
        protocol: The protocol.
        class_noun: What the subject is, if neither the protocol nor the adapter says.
        token: The word that means the subject, if the adapter does not say; ``sks`` when not given.

    Raises:
        BadConfig: If nothing can be paired, or the class noun of a subject is unknown.
        BadFile: If `what` is not there.
        BadPhoto: If a folder of photos or pictures holds none that can be read.
    """
    if not what.exists():
        raise BadFile(f"{what} does not exist; give an adapter file, a folder of adapters or a folder of pictures")
    folders = _photo_folders(photos)
    found = _by_subject(what, folders)
    shared = [name for name in found if name in folders]
    if not shared:
        raise BadConfig(
            f"nothing in {what} belongs to photos in {photos or 'the examples'}: there are {_few(list(found))} here and"
            f" {_few(list(folders))} there; their names must match"
        )
    candidates = [_pair(found[name], name, folders[name], protocol, class_noun, token) for name in shared]
    for candidate in candidates:
        for folder in filter(None, (candidate.photos, candidate.pictures)):
            next(_read(folder))  # complains where there is none
    return candidates


def _photo_folders(photos: Path | None) -> dict[str, Path]:
    """Return folders of photos by subject."""
    if photos is None:
        return {example.name: example.folder for example in list_examples()}
    if not photos.is_dir():
        raise BadPhoto(f"{photos} is not a folder; give a folder of photos, or a folder of such folders")
    nested = sorted(path for path in photos.iterdir() if path.is_dir() and not path.name.startswith("."))
    return {path.name: path for path in nested} if nested else {photos.resolve().name: photos}


def _by_subject(what: Path, folders: dict[str, Path]) -> dict[str, Path]:
    """Return adapters or folders of pictures by subject; a single one belongs to a single folder of photos."""
    if what.is_file():
        return {_only(what, folders): what}
    adapters = sorted(what.glob(f"*{SUFFIX}"))
    if adapters:
        return {path.name.removesuffix(SUFFIX): path for path in adapters}
    nested = sorted(path for path in what.iterdir() if path.is_dir() and not path.name.startswith("."))
    return {path.name: path for path in nested} if nested else {_only(what, folders): what}


def _only(what: Path, folders: dict[str, Path]) -> str:
    """Return the subject of a single adapter or folder: the only one there is, or the one its name begins with."""
    if len(folders) == 1:
        return next(iter(folders))
    name = what.name.removesuffix(SUFFIX)
    meant = [folder for folder in folders if f"{name}-".startswith(f"{folder}-")]
    if meant:
        return max(meant, key=len)
    raise BadConfig(f"{what} could belong to {len(folders)} subjects; give the photos of one: --photos FOLDER")


def _pair(
    what: Path, name: str, photos: Path, protocol: Protocol, class_noun: str | None, token: str | None
) -> Candidate:
    if what.is_dir():
        return Candidate(protocol.adopt(name, class_noun), photos, pictures=what, token=token or _TOKEN)
    noted = read_provenance(what)
    learnt = noted.subjects[0] if noted.subjects else SubjectFacts()
    return Candidate(
        subject=protocol.adopt(name, class_noun or learnt.class_noun or None),
        photos=photos,
        adapter=what,
        token=token or (learnt.token or _TOKEN),
        training_seconds=noted.training.get("seconds"),
    )


def _few(names: Sequence[str], most: int = 4) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "") if names else "nothing"


def read_pictures(folder: Path) -> list[Image.Image]:
    """Read all pictures of a folder, in natural order; files that are none are passed over.

    Raises:
        BadPhoto: If not one can be read.
    """
    return [image for _, image in _read(folder)]


def read_with_prompts(folder: Path) -> tuple[list[Image.Image], list[str]]:
    """Read pictures with the prompts they were made of.

    Prompts are in ``metadata.jsonl`` (lines with ``file_name`` and ``text``, as the data sets on the Hugging Face hub
    have it), or in the files, where `portraitist generate` puts them.

    Returns:
        The pictures and as many prompts; no prompts if one picture has none.

    Raises:
        BadPhoto: If not one picture can be read.
        BadFile: If the list is damaged.
    """
    listed = _listed_prompts(folder / _LIST)
    images, prompts = [], []
    for path, image in _read(folder):
        prompt = listed.get(path.name) or noted_prompt(path)
        images.append(image)
        prompts.append(prompt)
    return images, prompts if all(prompts) else []


def without_token(prompt: str, token: str) -> str:
    """Take a rare token out of a prompt: ``a sks apple in the snow`` becomes ``an apple in the snow``."""
    found = rf"(?<!\w)(?:an?(?P<space>\s+))?{re.escape(token)}(?!\w)\s*(?P<next>\w?)"

    def bare(match: re.Match[str]) -> str:
        article = match.string[match.start()] if match["space"] else ""
        n = "n" if article and match["next"].lower() in _VOWELS else ""
        return f"{article}{n}{match['space'] or ''}{match['next']}"

    return re.sub(found, bare, prompt, flags=re.IGNORECASE)


def _read(folder: Path) -> Iterator[tuple[Path, Image.Image]]:
    """Read a folder's pictures but its sheet one by one; that there is none shows when the first is asked for."""
    paths = [path for path in list_photos(folder) if path.stem != "sheet"]
    pictures = decode_readable(paths)
    first = next(pictures, None)
    if first is None:
        raise BadPhoto(f"no pictures in {folder}; give a folder of pictures")
    yield first
    yield from pictures


def _listed_prompts(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    try:
        rows = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
        return {str(row["file_name"]): str(row["text"]) for row in rows}
    except (ValueError, KeyError, TypeError) as error:
        raise BadFile(f"{path} needs lines like {{'file_name': ..., 'text': ...}} ({error})") from error
