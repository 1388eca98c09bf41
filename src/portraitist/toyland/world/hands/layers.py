"""What a drawing hand offers: layers of alternative fragments, from the back to the front."""

from collections.abc import Mapping
from dataclasses import dataclass

NOTHING = ""


@dataclass(frozen=True)
class Layer:
    """One part of a figure.

    Attributes:
        part: Name of the part; a figure says which variant of it is drawn. Several layers may show the same part.
        variants: Fragments by name; a name that is missing, as `NOTHING` is, draws nothing.
        erases: Whether the layer takes away what is behind it instead of covering it.
    """

    part: str
    variants: Mapping[str, str]
    erases: bool = False
