"""Identities from a folder of folders of photos, one folder an identity."""

import hashlib
import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from portraitist.bases.examples import list_examples
from portraitist.errors import BadConfig, BadPhoto
from portraitist.hypernetworks.identities.sources.drawn import ALL
from portraitist.hypernetworks.identities.sources.source import Identity, Photo, Words
from portraitist.photos import decode_readable, list_photos
from portraitist.toyland.world.identities import Identity as Drawn
from portraitist.training.inputs.companions import find_caption, read_caption
from portraitist.training.subjects import Subject

# What lies beside example subjects: who they are.
_SUBJECTS = "subjects.json"
# Bytes of a file that may be an example's photo.
_SMALL = 2**16


class FolderSource:
    """A folder whose folders hold photos of one identity each; captions beside photos are read.

    Args:
        folder: The folder.
        class_noun: What kind of thing they all are; None where ``subjects.json`` in the folder says it of each.
        count: How many identities at most; None for all.
        split: ``train``, ``validation``, ``test`` or ``all``, by a hash of the folders' names.
        photos: Photos of each at most, the first ones.
        side: Of the photos, in pixels.
        words: How a base is asked for them.

    Raises:
        BadPhoto: If there are no folders in it.
        BadConfig: If nothing says what kind of thing one is, or none is of the split.
    """

    def __init__(
        self,
        folder: Path,
        class_noun: str | None,
        count: int | None,
        split: str,
        photos: int,
        side: int,
        words: Words,
    ) -> None:
        self.folder, self.split, self.photos, self.side, self.words = folder, split, photos, side, words
        self._class_noun, self._known = class_noun, _read_subjects(folder / _SUBJECTS)
        if not folder.is_dir():
            raise BadPhoto(
                f"{folder} is not a folder; give toyland:people, or a folder with a folder of photos for each identity"
            )
        folders = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
        if not folders:
            raise BadPhoto(f"{folder} holds no folders; put the photos of each identity into a folder of its own")
        self._folders = [path for path in folders if split in (ALL, self._split(path))][:count]
        if not self._folders:
            raise BadConfig(
                f"none of the identities in {folder} is in the split {split}; use --split {ALL} for everyone"
            )
        self.kinds = tuple(dict.fromkeys(self._noun(path) for path in self._folders))

    @property
    def name(self) -> str:
        """Return the folder."""
        return str(self.folder.resolve())

    @property
    def count(self) -> int:
        """Return how many folders are meant."""
        return len(self._folders)

    def identity(self, index: int) -> Identity:
        """Read an identity's photos; files that cannot be used are named in its provenance."""
        folder = self._folders[index]
        noun = self._noun(folder)
        plain = self.words.plain(noun)
        facts: dict[str, Any] = {"folder": str(folder.resolve()), **self._known.get(folder.name, {})}
        photos: list[Photo] = []
        try:
            subject = Subject.from_folder(list_photos(folder)[: self.photos], noun, self.words.token, self.side)
        except BadPhoto as error:
            facts["skipped"] = [str(error)]
        else:
            facts["skipped"] = list(subject.skipped)
            for path, picture, framing in zip(subject.paths, subject.photos, subject.framings, strict=True):
                prompt = read_caption(subject, path, plain)
                labels = {"file": path.name, "captioned": find_caption(path) is not None}
                photos.append(Photo(np.array(picture.convert("RGB")), prompt, prompt, framing, labels))
        return Identity(folder.name, noun, noun, self._split(folder), 0, plain, tuple(photos), facts)

    def _noun(self, folder: Path) -> str:
        noun = self._class_noun or self._known.get(folder.name, {}).get("class")
        if not noun:
            raise BadConfig(f"nothing says what kind of thing {folder.name} is; say it for all with --class person")
        return str(noun)

    def _split(self, folder: Path) -> str:
        """Return a folder's split: that of its identity in toyland if it is one, else by a hash of its name.

        What the base and the encoders are examined with is thereby never trained on, whatever folder it lies in.
        """
        known = self._known.get(folder.name, {})
        if isinstance(known.get("parts"), dict):
            parts = sorted((str(part), str(name)) for part, name in known["parts"].items())
            return Drawn(str(known.get("class")), tuple(parts), ()).split
        small = (path for path in list_photos(folder) if path.stat().st_size <= _SMALL)
        if any(_pixels(picture) in self._examples for _, picture in decode_readable(small)):
            return "test"
        tenth = int(hashlib.sha256(folder.name.encode()).hexdigest(), 16) % 10
        return "test" if tenth == 0 else "validation" if tenth == 1 else "train"

    @cached_property
    def _examples(self) -> frozenset[str]:
        """Return the pixels of the photos that ship with the package, hashed: tests are made with them."""
        paths = [path for example in list_examples() for path in example.photos]
        return frozenset(_pixels(picture) for _, picture in decode_readable(paths))


def _pixels(picture: Image.Image) -> str:
    return hashlib.sha256(f"{picture.size}".encode() + picture.tobytes()).hexdigest()


def _read_subjects(path: Path) -> Mapping[str, Mapping[str, Any]]:
    """Read what ``subjects.json`` says of each folder; nothing where there is none, or it is no such list."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    listed = content if isinstance(content, list) else []
    return {str(entry["name"]): entry for entry in listed if isinstance(entry, dict) and "name" in entry}
