"""How the minutes of one command are shared out between the stages that it trains."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass
class Budget:
    """Minutes from now, for several stages; what drawing and encoding take is taken from all that follow.

    Attributes:
        total: Minutes from now.
        stages: The command's stages, in order.
        shares: Share of each that is trained, of any sum.
        clock: Seconds that pass.
    """

    total: float
    stages: Sequence[str]
    shares: Mapping[str, float]
    clock: Callable[[], float] = time.monotonic
    _began: float = field(init=False)

    def __post_init__(self) -> None:
        self._began = self.clock()

    @property
    def left(self) -> float:
        """Return the minutes that are left."""
        return max(0.0, self.total - (self.clock() - self._began) / 60)

    def minutes(self, stage: str) -> float:
        """Return the minutes of a stage that begins now: its share of what is left, among it and those after it."""
        ahead = self.stages[self.stages.index(stage) :]
        return self.left * self.shares[stage] / sum(self.shares.get(name, 0.0) for name in ahead)
