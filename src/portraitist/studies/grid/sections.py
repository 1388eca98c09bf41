"""What study files are made of: sections whose unknown names are errors, and the subjects in them."""

from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class StudySection(BaseModel):
    """A part of a study file; unknown names are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class SubjectEntry(StudySection):
    """A subject of a study."""

    name: str = Field(description="name in tables")
    photos: Path = Field(description="folder of its photos, relative to the study file")
    class_noun: str = Field(alias="class", description="what kind of thing it is")


def round_robin(entries: Sequence[SubjectEntry]) -> list[SubjectEntry]:
    """Order subjects so that every class noun comes once before one comes again."""
    turns: dict[str, int] = {}
    ranked = []
    for entry in entries:
        turn = turns.get(entry.class_noun, 0)
        turns[entry.class_noun] = turn + 1
        ranked.append((turn, entry))
    return [entry for _, entry in sorted(ranked, key=lambda pair: pair[0])]
