"""What became of a run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from portraitist.studies.grid.specs import RunSpec

Status = Literal["done", "failed", "stopped"]


@dataclass(frozen=True)
class CurvePoint:
    """Scores during training.

    Attributes:
        step: Completed steps.
        seconds: Training time until then.
        scores: The scores of a few pictures.
    """

    step: int
    seconds: float
    scores: dict[str, float]


@dataclass(frozen=True)
class RunOutcome:
    """What became of a run.

    Attributes:
        spec: The run.
        status: ``done``, ``failed``, or ``stopped`` on request, in which case nothing is recorded.
        error: Why it failed, in one line.
        scores: Scores by name.
        prompt_scores: Of scores that are means over pictures, each prompt's mean, in the run's order of prompts.
        curve: Scores during training.
        parameters: Numbers in the adapter.
        file_bytes: Size of its file.
        training_seconds: Time spent in training steps, or on what makes adapters otherwise.
        total_seconds: Time of the whole run, pictures and scores included.
        pictures: PNG files by name; their features may be beside them.
    """

    spec: RunSpec
    status: Status
    error: str = ""
    scores: dict[str, float] = field(default_factory=dict)
    prompt_scores: Mapping[str, Sequence[float]] = field(default_factory=dict)
    curve: tuple[CurvePoint, ...] = ()
    parameters: int | None = None
    file_bytes: int | None = None
    training_seconds: float | None = None
    total_seconds: float | None = None
    pictures: Mapping[str, bytes] = field(default_factory=dict, repr=False)


def failure(spec: RunSpec, error: BaseException | str) -> RunOutcome:
    """Return the outcome of a run that failed, with the reason in one line."""
    reason = error if isinstance(error, str) else f"{type(error).__name__}: {error}"
    return RunOutcome(spec, "failed", " ".join(reason.split()))
