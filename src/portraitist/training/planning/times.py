"""How long a pass takes on cards where one was measured. `python -m benchmarks.adapters` adds to the file."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from statistics import median

FILE = files("portraitist.training.planning").joinpath("pass_times.json")


@dataclass(frozen=True)
class PassTime:
    """A forward and backward pass of one picture through an adapted denoiser, its weights in bfloat16.

    Attributes:
        card: The card's name.
        architecture: A name of `portraitist.bases.architectures.list_architectures`.
        method: The method that was attached.
        resolution: Side of the picture, in pixels.
        checkpointed: Whether activations were computed again.
        seconds: The median.
    """

    card: str
    architecture: str
    method: str
    resolution: int
    checkpointed: bool
    seconds: float

    @property
    def case(self) -> tuple[str, str, str, int, bool]:
        """Return what was measured."""
        return self.card, self.architecture, self.method, self.resolution, self.checkpointed


def read_times() -> list[PassTime]:
    """Return all that were measured; none as long as no GPU was at hand."""
    return [PassTime(**entry) for entry in json.loads(FILE.read_text())]


def find_times(architecture: str, method: str, resolution: int, checkpointed: bool) -> list[PassTime]:
    """Return what was measured of a case, on each card."""
    wanted = (architecture, method, resolution, checkpointed)
    return [each for each in read_times() if each.case[1:] == wanted]


def add_times(measured: Sequence[PassTime], file: Path) -> None:
    """Write times into a file, those of the same case give way; of a case that is given twice the median counts."""
    cases = {each.case: [other.seconds for other in measured if other.case == each.case] for each in measured}
    newer = [PassTime(*case, median(seconds)) for case, seconds in cases.items()]
    older = [PassTime(**entry) for entry in json.loads(file.read_text())]
    kept = [each for each in older if each.case not in cases]
    ordered = sorted([*kept, *newer], key=lambda each: each.case)
    file.write_text(json.dumps([asdict(each) for each in ordered], indent=1) + "\n")
