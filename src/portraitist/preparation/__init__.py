"""Photos as people have them to photos worth training on: unreadable, tiny, blurred ones, duplicates and others' go."""

from portraitist.preparation.preparing import Criteria, Prepared, prepare
from portraitist.preparation.writing import write_prepared

__all__ = ["Criteria", "Prepared", "prepare", "write_prepared"]
