"""Subjects that a study draws for itself from toyland's world: of a split that nothing was trained on."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from PIL import Image
from pydantic import Field

from portraitist.errors import BadConfig
from portraitist.files import write_aside
from portraitist.hypernetworks.identities.sources.drawn import DrawnSource, choose_kinds
from portraitist.hypernetworks.identities.sources.source import Words
from portraitist.photos import encode_png
from portraitist.studies.grid.sections import StudySection, SubjectEntry, round_robin
from portraitist.toyland.world import examples
from portraitist.toyland.world.identities import KINDS

_WORDS = Words("a photo of a {}", "sks")  # of captions, which are not kept


class DrawnSubjects(StudySection):
    """Identities of the world that a base was made for, so many of each kind, with photos in different scenes."""

    each: int = Field(10, ge=0, description="identities of every kind")
    counts: dict[str, int] = Field(default_factory=dict, description="other numbers, by kind")
    photos: int = Field(4, gt=0, description="photos of each")
    split: Literal["train", "validation", "test"] = Field("test", description="of which split")
    seed: int = Field(0, ge=0, description="seed of everything drawn")
    most: int | None = Field(None, gt=0, description="only the first so many, kinds taking turns")

    def paint(self, folder: Path, side: int) -> tuple[SubjectEntry, ...]:
        """Paint the photos, those that are not there yet, and return the subjects with their folders.

        Args:
            folder: Where each gets a folder of its own.
            side: Of the photos, in pixels.

        Raises:
            BadConfig: If toyland has no such kind, or not so many of one.
        """
        sources = list(self._sources(side))
        entries = [
            SubjectEntry.model_validate({"name": who.name, "photos": folder / who.name, "class": who.kind})
            for source in sources
            for who in source.chosen
        ]
        chosen = round_robin(entries)[: self.most]
        places = {who.name: (source, index) for source in sources for index, who in enumerate(source.chosen)}
        for entry in chosen:
            files = [entry.photos / f"{number}.png" for number in range(self.photos)]
            if all(file.exists() for file in files):
                continue
            source, index = places[entry.name]
            for file, photo in zip(files, source.identity(index).photos, strict=True):
                with write_aside(file) as temporary:
                    temporary.write_bytes(encode_png(Image.fromarray(photo.pixels)))
        return tuple(chosen)

    def licences(self) -> list[str]:
        """Return who drew what the photos show, and on which terms."""
        known = examples.licences()
        return list(dict.fromkeys(known[kind] for kind in self._wanted()))

    def _wanted(self) -> dict[str, int]:
        """Return how many identities are wanted of each kind, without those of which none is."""
        choose_kinds(list(self.counts))
        wanted = {kind: self.counts.get(kind, self.each) for kind in KINDS}
        return {kind: count for kind, count in wanted.items() if count}

    def _sources(self, side: int) -> Iterator[DrawnSource]:
        """Yield a source for every kind that is wanted."""
        for kind, count in self._wanted().items():
            yield DrawnSource((kind,), count, self.split, self.photos, side, _WORDS, self.seed)


def require_spare_photos(photos: int, used: int | None) -> None:
    """Refuse pictures that would be judged by a subject's other photos where all are used.

    Raises:
        BadConfig: If there is none left.
    """
    if used is None or used >= photos:
        raise BadConfig("judged_by: others needs photos that are not used; set `photos` to a smaller number")
