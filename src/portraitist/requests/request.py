"""The contract of a request."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from portraitist.errors import PortraitistError
from portraitist.requests.advice import Advice
from portraitist.requests.value import Value

Rule = Callable[[], None]


class Request(Value, ABC):
    """Something to be done, as a value."""

    @abstractmethod
    def rules(self) -> Sequence[Rule]:
        """Return what must hold and can be checked without a model, each as a function that raises in one line."""

    def hints(self) -> list[Advice]:
        """Return what may disappoint, as far as it is known without a model."""
        return []

    def review(self) -> list[Advice]:
        """Return everything that is known without a model: all that is wrong, then what may disappoint."""
        errors = []
        for rule in self.rules():
            try:
                rule()
            except PortraitistError as error:
                errors.append(Advice.of_error(error))
        return [*errors, *self.hints()]

    def check(self) -> None:
        """Refuse what cannot work.

        Raises:
            PortraitistError: The first thing that is wrong.
        """
        for rule in self.rules():
            rule()
