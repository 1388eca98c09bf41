"""The contract of a job."""

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

from portraitist.requests.advice import Advice
from portraitist.requests.handle import Handle
from portraitist.requests.value import Value

Plan = TypeVar("Plan", bound=Value)
Outcome = TypeVar("Outcome", bound=Value)


class Job(ABC, Generic[Plan, Outcome]):
    """A request with everything loaded that it needs; nothing is written before it is run.

    A subclass opens a request in its constructor, which refuses in one line whatever cannot work.

    Attributes:
        advice: What a user should know before it is run.
        plan: What will be done.
    """

    advice: list[Advice]
    plan: Plan

    @abstractmethod
    def run(self, handle: Handle | None = None) -> Outcome:
        """Do it, and return what came of it.

        Args:
            handle: Told how far it is, and asked whether to stop.

        Raises:
            Stopped: If the handle asked to stop; `TrainingInterrupted` where a training can be resumed.
        """
