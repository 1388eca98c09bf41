"""The contract of what makes adapters in studies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from portraitist.adapters import Adapter
from portraitist.bases import Base
from portraitist.training.loop.loop import Callback
from portraitist.training.subjects import Subject


@dataclass(frozen=True)
class Made:
    """A subject's adapter.

    Attributes:
        adapter: The adapter.
        seconds: How long it took to get it, without what only looks on.
        measures: What its maker measured of it, by the names of `portraitist.studies.runs.scoring.OF_ADAPTERS`.
    """

    adapter: Adapter
    seconds: float
    measures: Mapping[str, float] = field(default_factory=dict)


class Maker(Protocol):
    """Makes adapters of subjects; it keeps no state, so that every process has its own."""

    def resolve(self, method: str, base: Base, overrides: Mapping[str, Any]) -> dict[str, Any]:
        """Return everything that decides the adapters, as plain values that a run can be known by.

        Args:
            method: The name in the study file.
            base: The base.
            overrides: The study's settings by name, nested ones as mappings, and the ``seed``.

        Returns:
            All settings, ``method`` and ``seed`` among them; ``steps`` where there are steps to be watched.

        Raises:
            BadConfig: If a setting is unknown or cannot work, before anything is run.
        """

    def make(self, base: Base, subject: Subject, settings: Mapping[str, Any], callbacks: Sequence[Callback]) -> Made:
        """Make one subject's adapter.

        Args:
            base: The base.
            subject: The subject, with the photos that may be used.
            settings: What `resolve` returned.
            callbacks: Called after each step, with the number of completed ones, and with 0 where there is something to
                see before the first; the adapter is attached meanwhile.
        """
