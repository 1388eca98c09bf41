"""A chosen base, loaded."""

from collections.abc import Sequence
from pathlib import Path

from portraitist.bases import Base
from portraitist.bases.precision import usual_precision
from portraitist.exchange.loading import load_base_of
from portraitist.requests.advice import Advice
from portraitist.requests.choices import BaseChoice
from portraitist.requests.devices import choose_device, choose_precision
from portraitist.requests.usual import DEFAULT_BASE


def open_base(choice: BaseChoice, adapters: Sequence[Path] = ()) -> tuple[Base, list[Advice]]:
    """Load a base; say so where it is held in another precision than float32 unasked.

    Args:
        choice: What was chosen.
        adapters: Files that name the base where nothing was.

    Raises:
        PortraitistError: If there is no such base, device or precision, or adapters do not agree on a base.
    """
    device = choose_device(choice.device)
    precision = choose_precision(choice.precision)
    name = choice.name or (None if adapters else DEFAULT_BASE)
    base = load_base_of(adapters, name, device, precision or usual_precision(device), choice.resolution, choice.bits)
    if precision is not None or base.precision == "float32":
        return base, []
    line = (
        f"the base is held in {base.precision} and computes in it, adapters stay in float32, as is usual on a GPU;"
        " use --base-dtype fp32 for full precision"
    )
    return base, [Advice.of(line, "note")]
