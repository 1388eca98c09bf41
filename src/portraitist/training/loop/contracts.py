"""What the loop asks of its surroundings, and what it is told: tasks, watches, settings, outcomes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from torch import Tensor, nn

from portraitist.errors import BadConfig
from portraitist.training.recipes.groups import OptimizerName


@dataclass(frozen=True)
class ParameterGroup:
    """Named parameters that share a learning rate and a weight decay.

    Attributes:
        parameters: The parameters by name.
        learning_rate: Their peak rate.
        weight_decay: Their decoupled decay.
        hidden: They are matrices or convolutions between a network's hidden states, which ``muon`` orthogonalises;
            other optimisers make no difference.
    """

    parameters: Mapping[str, nn.Parameter]
    learning_rate: float
    weight_decay: float = 0.0
    hidden: bool = False

    def settings(self) -> dict[str, Any]:
        """Return what an optimiser is built from."""
        rates = {"lr": self.learning_rate, "weight_decay": self.weight_decay}
        return {"params": list(self.parameters.values()), **rates, "hidden": self.hidden}


class Task(Protocol):
    """What is trained. `step` must draw all randomness from `portraitist.randomness` streams keyed by the step."""

    def groups(self) -> Sequence[ParameterGroup]:
        """Return the trained parameters; the same names and order on every call."""

    def step(self, step: int, micro_step: int) -> Mapping[str, Tensor]:
        """Return scalar losses of one (micro-)batch; the entry ``loss`` is minimised, others are logged."""

    def after_step(self) -> None:
        """Restore what an optimiser step must not have changed."""

    def identity(self) -> dict[str, Any]:
        """Return JSON-able facts that two runs must share for one to resume the other."""


@runtime_checkable
class StatefulTask(Task, Protocol):
    """A task that remembers more between steps than its parameters, such as running statistics.

    What it remembers goes into every checkpoint, and comes back on resuming bit for bit. Of several processes the first
    one's is kept and given to all, so it must be the same in each.
    """

    def state(self) -> Mapping[str, Tensor]:
        """Return what it remembers after the steps taken so far: tensors of any kind, a number as one without axes."""

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take up again what it remembered; the tensors, on the CPU, are its own from now on."""


@runtime_checkable
class BankTask(Task, Protocol):
    """A task that trains the N adapters of a bank at once.

    Every trained parameter has a leading axis of N, and `step` returns a ``loss`` for each adapter, ``[N]``, that
    depends on its own row alone (others may be one for all). The loop sums them, clips every adapter's gradient apart,
    and drops an adapter that diverges, so that each is trained as it would be alone.
    """

    @property
    def bank_size(self) -> int | None:
        """Return N; None where a single adapter is trained, with one loss."""


Verdict = Literal["worse", "best", "stop"]


class Watch(Protocol):
    """What evaluates a task's parameters now and then, and says which were best.

    Attributes:
        rule: Name of the measured number that says which were best.
    """

    rule: str

    def is_due(self, step: int) -> bool:
        """Say whether it wants to evaluate after so many steps."""

    def evaluate(self, step: int) -> tuple[Verdict, dict[str, float]]:
        """Measure; say whether this is the best so far or time to stop, and return what was measured."""

    def state(self) -> dict[str, Any]:
        """Return what it remembers, JSON-able."""

    def restore(self, state: dict[str, Any]) -> None:
        """Take up again what it remembered."""


@dataclass(frozen=True)
class LoopConfig:
    """Settings of the loop.

    Attributes:
        steps: Optimiser steps; None for as many as there is time for.
        seconds: Time the run may take, over all its sittings; the schedule follows the clock. It ends with whichever
            of the two comes first.
        accumulate: Micro-batches per optimiser step.
        schedule: A schedule of diffusers: constant, constant_with_warmup, linear, cosine, ...; or ``cooldown``, which
            falls over the last fifth.
        warmup_steps: Warm-up steps of the schedule (ignored by ``constant``, as in diffusers).
        cycles: Restarts of ``cosine_with_restarts``.
        power: Of ``polynomial``.
        step_rules: Of ``piecewise_constant``.
        max_gradient_norm: Gradients are clipped to this global norm.
        optimizer: A name of `portraitist.training.loop.optimizers`.
        betas: Decay rates of its moments.
        epsilon: What keeps its divisions finite.
        average_decay: Decay of the exponential moving average of the parameters; 0 keeps none.
        precision: ``no`` (float32), ``bf16`` or ``fp16`` autocast; parameters stay float32.
        scale_gradients: Scale the loss so that gradients do not vanish in float16; always done with ``fp16``.
        checkpoint_seconds: A checkpoint is written when the last one is older.
        log_every: Steps between two lines of the log.
        read_every: Steps whose losses are read together; None reads each on a CPU, and ten together on devices that
            work ahead of the program, which waits for them when it reads.
    """

    steps: int | None
    seconds: float | None = None
    accumulate: int = 1
    schedule: str = "constant"
    warmup_steps: int = 0
    cycles: int = 1
    power: float = 1.0
    step_rules: str | None = None
    max_gradient_norm: float = 1.0
    optimizer: OptimizerName | Literal["muon"] = "adamw"
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    average_decay: float = 0.0
    precision: str = "no"
    scale_gradients: bool = False
    checkpoint_seconds: float = 180.0
    log_every: int = 50
    read_every: int | None = None

    def __post_init__(self) -> None:
        if self.steps is None and self.seconds is None:
            raise BadConfig("a run needs an end; set its steps, its seconds, or both")

    def progress(self, completed: int, elapsed: float) -> float:
        """Return how far a run is, in [0, 1], after so many steps and seconds."""
        by_steps = completed / self.steps if self.steps else float(self.steps == 0)
        by_clock = elapsed / self.seconds if self.seconds else float(self.seconds == 0)
        return min(1.0, max(by_steps, by_clock))


@dataclass(frozen=True)
class Progress:
    """Where a run is.

    Attributes:
        step: Completed optimiser steps.
        elapsed: Seconds it has taken, over all its sittings.
        share: How far it is, in [0, 1].
        rate: Steps a second in this sitting.
        remaining: Seconds left, as far as one can tell.
        losses: Smoothed losses.
        seen: What the last evaluation measured.
    """

    step: int
    elapsed: float
    share: float
    rate: float
    remaining: float
    losses: Mapping[str, float]
    seen: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What a finished run reports.

    Attributes:
        steps: Optimiser steps taken.
        seconds: Time spent in them.
        losses: Smoothed losses at the end.
        history: Lines of the log.
        kept: The step whose parameters a watch found best; None without a watch.
        watch_seconds: Time spent on evaluations.
        elapsed: Time it took altogether.
        dropped: Adapters of a bank that diverged, and stayed what they were before.
    """

    steps: int
    seconds: float
    losses: dict[str, float]
    history: list[dict[str, float]] = field(repr=False)
    kept: int | None = None
    watch_seconds: float = 0.0
    elapsed: float = 0.0
    dropped: tuple[int, ...] = ()


Callback = Callable[[int], None]
Observer = Callable[[Progress], None]
