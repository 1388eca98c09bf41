"""What an adapter's file says of itself: the base it was made for, words, recipe, training.

The facts are kept as they stand in the file, JSON-able and in its order; what is read here is typed, and whatever a
file may claim in the wrong form counts as not said.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, Literal

from portraitist.errors import BaseMismatch
from portraitist.fingerprints import same_structure, same_weights

Likeness = Literal["same", "different", "indistinguishable", "unknown"]

# A value rounded to one of these cannot be told from its neighbours rounded to the other.
_INCOMPARABLE = {"float16", "bfloat16"}
# What a sum of adapters keeps of those it was made of.
_LASTING = ("base", "portraitist_version")
# Under this name a picture of what it was taught, as a data URI.
THUMBNAIL = "thumbnail"


@dataclass(frozen=True)
class BaseFacts:
    """What is known of a base; None for what is not.

    Attributes:
        name: Its name, a path or a model's.
        family: Its family's name.
        fingerprint: Tells its weights from others.
        dtype: Precision of its weights, ``float32``.
        resolution: Side of the pictures that were learnt.
        revision: The commit of a model of the hub.
    """

    name: str | None = None
    family: str | None = None
    fingerprint: str | None = None
    dtype: str | None = None
    resolution: int | None = None
    revision: str | None = None

    @classmethod
    def parse(cls, facts: Any) -> "BaseFacts | None":
        """Read what a file says of a base; None if it says nothing that could be read."""
        if not isinstance(facts, Mapping):
            return None
        name, family, fingerprint, dtype = (_text(facts.get(key)) for key in ("name", "family", "fingerprint", "dtype"))
        side = facts.get("resolution")
        revision = _text(facts.get("revision"))
        return cls(name, family, fingerprint, dtype, side if isinstance(side, int) else None, revision)

    def likeness(self, other: "BaseFacts | None") -> Likeness:
        """Compare two bases: the one rule for whether adapters and bases belong together.

        A copy of a base in another precision is the same. Between float16 and bfloat16 a base cannot be told from a
        close relative of it: there models of the same layers are ``indistinguishable``.
        """
        if other is None or self.fingerprint is None or other.fingerprint is None:
            return "unknown"
        if same_weights(self.fingerprint, other.fingerprint):
            return "same"
        if {self.dtype, other.dtype} == _INCOMPARABLE and same_structure(self.fingerprint, other.fingerprint):
            return "indistinguishable"
        return "different"

    def __str__(self) -> str:
        """Name the base, and what tells it from others, for messages."""
        at = f" at revision {self.revision}" if self.revision is not None else ""
        return f"{self.name or 'another base'}{at} (fingerprint {self.fingerprint})"


@dataclass(frozen=True)
class SubjectFacts:
    """What is known of a subject; empty for what is not: its name, its class's noun and its token."""

    name: str = ""
    class_noun: str = ""
    token: str = ""

    @classmethod
    def parse(cls, facts: Any) -> "SubjectFacts | None":
        """Read what a file says of a subject; None if that is no description."""
        if not isinstance(facts, Mapping):
            return None
        return cls(*(str(facts.get(key, "")) for key in ("name", "class", "token")))


@dataclass
class Provenance:
    """What an adapter's file says of itself.

    Attributes:
        facts: As they are written, JSON-able.
    """

    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def base(self) -> BaseFacts | None:
        """Return the base it was made for."""
        return BaseFacts.parse(self.facts.get("base"))

    @property
    def trigger(self) -> str | None:
        """Return the words that call its subjects."""
        return _text(self.facts.get("trigger"))

    @property
    def subjects(self) -> tuple[SubjectFacts, ...]:
        """Return the subjects it was taught."""
        several = self.facts.get("subjects")
        listed = several if isinstance(several, list) else [self.facts.get("subject")]
        return tuple(subject for facts in listed if (subject := SubjectFacts.parse(facts)) is not None)

    @property
    def recipe(self) -> Mapping[str, Any]:
        """Return the settings it was trained with; empty if it says none."""
        return _mapping(self.facts.get("recipe"))

    @property
    def training(self) -> Mapping[str, Any]:
        """Return what came of its training, such as ``steps`` and ``seconds``; empty if it says nothing."""
        return _mapping(self.facts.get("training"))

    @property
    def version(self) -> str | None:
        """Return the version of this package that made it."""
        return _text(self.facts.get("portraitist_version"))

    def copy(self, **changes: Any) -> "Provenance":
        """Return the same facts and some others, in a dictionary of their own."""
        return Provenance({**self.facts, **changes})

    @classmethod
    def of_sum(cls, parts: Sequence["Provenance"]) -> "Provenance":
        """Return what is left to say of adapters that became one: the base and all trigger words."""
        # Files of others do not say which base they are for.
        knowing = next((part for part in parts if part.facts.get("base")), parts[0])
        facts = {key: value for key, value in knowing.facts.items() if key in _LASTING}
        triggers = dict.fromkeys(part.trigger for part in parts if part.trigger is not None)
        if triggers:
            facts["trigger"] = ", ".join(triggers)
        return cls(facts)


def require_one_base(parts: Sequence[Provenance], force: bool = False) -> None:
    """Refuse to bring adapters of different bases together; those that do not say their base are let through.

    Args:
        parts: What the adapters say of themselves.
        force: Let all through.

    Raises:
        BaseMismatch: Naming two different bases.
    """
    known = [base for part in parts if (base := part.base) is not None and base.fingerprint is not None]
    for first, second in combinations(known, 2):
        if not force and first.likeness(second) == "different":
            raise BaseMismatch(
                f"these adapters were made for different bases, {first} and {second}; use --force, or force=True in"
                " Python, to combine them anyway"
            )


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
