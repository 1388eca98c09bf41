"""When training has come as far as another variant in the end: steps and seconds to its fidelity."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class TrainingPoint:
    """A point of a mean training curve."""

    step: float
    seconds: float
    value: float


def reach(curve: Sequence[TrainingPoint], goal: float, higher_is_better: bool = True) -> TrainingPoint | None:
    """Return where a curve first comes to a value, taken as straight between its points; None if it never does."""
    sign = 1 if higher_is_better else -1
    before: TrainingPoint | None = None
    for point in curve:
        if sign * point.value >= sign * goal:
            if before is None or point.value == before.value:
                return point
            part = (goal - before.value) / (point.value - before.value)
            return TrainingPoint(
                before.step + part * (point.step - before.step),
                before.seconds + part * (point.seconds - before.seconds),
                goal,
            )
        before = point
    return None
