"""Knowing when it is good: looks at an adapter while it is trained, keeps the best, and says when to stop.

Every look measures the loss on pictures it was not trained on, always with the same noise and timesteps, so that two
looks differ only by what was learnt. With an encoder of pictures and texts at hand, some looks also draw a few fixed
prompts with fixed seeds and measure likeness to the subject and faithfulness to the prompts.

The rule. Kept is the step with the largest product of likeness and faithfulness, where both are measured: relative
gains of one pay for relative losses of the other. Otherwise it is the step with the smallest validation loss. A curve
has turned when its best value is `patience` looks old; training stops when every curve that is measured has turned.

The cost. Work is counted in passes through the denoiser, not by a clock, so that a resumed run looks at the same steps:
a training step costs two passes a row at least (forward, and backward to the adapter). Looks get a share of that.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from portraitist.training.contracts import Verdict
from portraitist.training.curves import draw_curves
from portraitist.training.recipes import Recipe

_PASSES_A_ROW = 2
# Decoding a picture: the autoencoder's decoder does about the work of three passes (Stable Diffusion at 512).
_PASSES_TO_DECODE = 3
_WITH_GUIDANCE = 2

Measure = Callable[[], dict[str, float]]


@dataclass(frozen=True)
class Budget:
    """What looks may cost.

    Attributes:
        samples: Noised pictures in a validation loss.
        draw_every: Optimiser steps between two looks that draw pictures.
    """

    samples: int
    draw_every: int

    @classmethod
    def of(cls, recipe: Recipe, rows: int, pictures: int) -> "Budget":
        """Share the work out.

        Args:
            recipe: The recipe.
            rows: Pictures and class images in an optimiser step.
            pictures: Pictures drawn in a look; 0 draws none, and the loss gets all there is.
        """
        watch = recipe.watch
        work = watch.time_share * watch.every * rows * _PASSES_A_ROW * (0.5 if pictures else 1)
        samples = max(1, min(watch.samples, int(work)))
        cost = pictures * (watch.sampling_steps * _WITH_GUIDANCE + _PASSES_TO_DECODE)
        looks = max(1, -(-cost // max(1, int(work))))
        return cls(samples, looks * watch.every)


@dataclass
class Curve:
    """A measured quantity over the steps; ``sign`` is -1 where less is better."""

    sign: int
    points: list[tuple[int, float]] = field(default_factory=list)

    @property
    def best(self) -> int:
        """Return the position of the best point."""
        return max(range(len(self.points)), key=lambda position: self.sign * self.points[position][1])

    def has_turned(self, patience: int) -> bool:
        """Say whether the best point is so many looks old."""
        return bool(self.points) and len(self.points) - 1 - self.best >= patience


class SubjectWatch:
    """Looks at a subject's adapter.

    Args:
        recipe: Says when to look and when to stop.
        budget: What a look may cost.
        validate: Returns ``validation``, the loss on pictures kept from training.
        judge: Returns ``likeness`` and ``faithfulness`` of drawn pictures; either may be missing. None draws none.
        folder: Where the curve is drawn; None draws none.
    """

    def __init__(
        self,
        recipe: Recipe,
        budget: Budget,
        validate: Measure,
        judge: Measure | None = None,
        folder: Path | None = None,
    ) -> None:
        self.recipe, self.budget, self.folder = recipe, budget, folder
        self.validate, self.judge = validate, judge
        self.curves: dict[str, Curve] = {"validation": Curve(-1)}
        self.kept: int | None = None

    def is_due(self, step: int) -> bool:
        """Say whether to look after a step; the last one is always looked at."""
        return step % self.recipe.watch.every == 0 or step == self.recipe.steps

    def look(self, step: int) -> tuple[Verdict, dict[str, float]]:
        """Measure, and say whether this is the best so far or time to stop."""
        measured = self.validate()
        if self.judge is not None and (step % self.budget.draw_every == 0 or step == self.recipe.steps):
            measured |= self.judge()
            if {"likeness", "faithfulness"} <= measured.keys():
                measured["score"] = max(0.0, measured["likeness"]) * max(0.0, measured["faithfulness"])
        for name, value in measured.items():
            self.curves.setdefault(name, Curve(1)).points.append((step, value))
        deciding = self.curves[self._rule]
        is_best = self._rule in measured and deciding.best == len(deciding.points) - 1
        if is_best:
            self.kept = step
        if self.folder is not None:
            points = {name: curve.points for name, curve in self.curves.items()}
            draw_curves(points, self.kept, self.folder / "curve.svg")
        return ("best" if is_best else "stop" if self._has_seen_enough() else "worse"), measured

    @property
    def _rule(self) -> str:
        """Return the curve that decides: the score where it will be measured, else the validation loss."""
        return "score" if "score" in self.curves else "validation"

    def _has_seen_enough(self) -> bool:
        """Say whether the loss and, if measured, the score have turned."""
        watch = self.recipe.watch
        deciding = {"validation", self._rule}
        return watch.stop and all(self.curves[name].has_turned(watch.patience) for name in deciding)

    def state(self) -> dict[str, Any]:
        """Return what was measured so far."""
        return {"kept": self.kept, "curves": {name: [c.sign, c.points] for name, c in self.curves.items()}}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what was measured."""
        self.kept = state["kept"]
        self.curves = {
            name: Curve(sign, [(int(step), float(value)) for step, value in points])
            for name, (sign, points) in state["curves"].items()
        }
