"""Ways to get a subject's adapter: by training it, as every method of the package does, or by what comes without.

A way that is no training is one module here with a `Maker`, named in `MAKERS`; studies then compare it like a method.
"""

from portraitist.adapters import get_method
from portraitist.studies.makers.instant import Instant
from portraitist.studies.makers.maker import Made, Maker
from portraitist.studies.makers.started import Started
from portraitist.studies.makers.training import Training

# Those that make adapters otherwise than by a method's recipe alone, by the name that study files call them.
MAKERS: dict[str, Maker] = {"instant": Instant(), "started": Started()}

__all__ = ["MAKERS", "Made", "Maker", "find_maker"]


def find_maker(method: str) -> Maker:
    """Return what makes the adapters of a study's method.

    Raises:
        BadConfig: If there is no such method, naming those there are.
    """
    if method in MAKERS:
        return MAKERS[method]
    get_method(method)
    return Training()
