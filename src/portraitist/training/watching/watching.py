"""Knowing when it is good: evaluates an adapter while it is trained, keeps the best, and says when to stop.

Every evaluation measures the loss on pictures it was not trained on, always with the same noise and timesteps, so that
two differ only by what was learnt. With an encoder of pictures and texts at hand, some evaluations also sample a few
fixed prompts with fixed seeds and measure likeness to the subject and faithfulness to the prompts.

The rule is settled before training. Where the time allows enough scored evaluations, the step with the largest product
of likeness and faithfulness is kept: relative gains of one pay for relative losses of the other. Otherwise nothing is
sampled, and the step with the smallest validation loss is kept. A curve has turned when its best value is `patience`
points old; training stops when the loss, and the score where it decides, have turned.

The cost. Work is counted in passes through the denoiser, not by a clock, so that a resumed run evaluates the same
steps: a training step costs at least two passes per row (forward, and backward to the adapter). Evaluations get a share
of that.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import inf, isfinite, nan
from pathlib import Path
from typing import Any, Literal

from portraitist.training.loop.contracts import Verdict
from portraitist.training.recipes import Recipe
from portraitist.training.watching.curves import draw_curves

_PASSES_A_ROW = 2
# Decoding a picture: the autoencoder's decoder does about the work of three passes (Stable Diffusion at 512).
_PASSES_TO_DECODE = 3
_WITH_GUIDANCE = 2
# With fewer scores the best of them is chance; worse pictures, or fewer, do not tell two steps apart.
_FEWEST_SCORES = 4
_FEWEST_PROMPTS = 2
_FEWEST_SAMPLING_STEPS = 8
# A validation loss over fewer noised pictures depends on which timesteps they got.
_FEWEST_SAMPLES = 4

Evaluate = Callable[[], dict[str, float]]
Rule = Literal["validation", "score"]


@dataclass(frozen=True)
class Budget:
    """When a run is evaluated, and what an evaluation may cost.

    Attributes:
        evaluations: Optimiser steps after which it is evaluated, the last among them.
        samples: Noised pictures in a validation loss.
        scored: Those of them after which pictures are scored as well; none where that would be fewer than
            `_FEWEST_SCORES`.
        prompts: How many of the recipe's prompts they sample.
        sampling_steps: Sampling steps of a picture.
    """

    evaluations: tuple[int, ...]
    samples: int
    scored: tuple[int, ...] = ()
    prompts: int = 0
    sampling_steps: int = 0

    @classmethod
    def of(cls, recipe: Recipe, rows: int, scores: bool) -> "Budget":
        """Share the work out: at most half of it to scoring pictures, the rest to the validation loss.

        Evaluations are further apart than the recipe says where each would otherwise have fewer than `_FEWEST_SAMPLES`.

        Args:
            recipe: The recipe.
            rows: Pictures and class images in an optimiser step.
            scores: Whether there is an encoder that pictures could be scored with.
        """
        watch = recipe.watch
        work = int(watch.time_share * recipe.steps * rows * _PASSES_A_ROW)
        evaluations = _spread(recipe, max(1, work // 2 // _FEWEST_SAMPLES))
        scoring = _scoring(recipe, evaluations, work // 2) if scores else cls(evaluations, 0)
        samples = (work - scoring.work) // len(evaluations)
        return replace(scoring, samples=max(1, min(watch.samples, samples)))

    @property
    def work(self) -> int:
        """Return the passes through the denoiser that all evaluations take together."""
        return len(self.evaluations) * self.samples + len(self.scored) * _cost(self.prompts, self.sampling_steps)


def rows_of(recipe: Recipe) -> int:
    """Return how many pictures and class images an optimiser step takes."""
    return recipe.batch_size * recipe.accumulate * (1 if recipe.prior == "none" else 2)


def scoring_advice(recipe: Recipe) -> str | None:
    """Say that encoders are named for pictures that are too costly to be scored; None otherwise."""
    watch = recipe.watch
    if not watch.every or (watch.subject_encoder is None and watch.prompt_encoder is None):
        return None
    if Budget.of(recipe, rows_of(recipe), scores=True).scored:
        return None
    return (
        f"watch.time_share={watch.time_share:g} of {recipe.steps} steps leaves no time to score pictures"
        f" {_FEWEST_SCORES} times, so the validation loss decides; raise it, or lower watch.every"
    )


def _spread(recipe: Recipe, most: int) -> tuple[int, ...]:
    """Return the steps to evaluate: every so many as the recipe says, or a multiple of that, and the last."""
    every, steps = recipe.watch.every, recipe.steps
    while -(-steps // every) > most:
        every += recipe.watch.every
    return (*range(every, steps, every), steps)


def _scoring(recipe: Recipe, evaluations: tuple[int, ...], work: int) -> Budget:
    """Return how often and how much is scored: as many prompts as possible, as well as possible, seldom enough."""
    watch, total = recipe.watch, len(evaluations)
    for prompts in range(len(watch.prompts), min(len(watch.prompts), _FEWEST_PROMPTS) - 1, -1):
        for steps in range(watch.sampling_steps, min(watch.sampling_steps, _FEWEST_SAMPLING_STEPS) - 1, -1):
            count = min(total, work // _cost(prompts, steps))
            if count >= _FEWEST_SCORES:
                scored = tuple(evaluations[(position + 1) * total // count - 1] for position in range(count))
                return Budget(evaluations, 0, scored, prompts, steps)
    return Budget(evaluations, 0)


def _cost(pictures: int, steps: int) -> int:
    return pictures * (steps * _WITH_GUIDANCE + _PASSES_TO_DECODE)


@dataclass
class Curve:
    """A measured quantity over the steps; ``sign`` is -1 where less is better."""

    sign: int
    points: list[tuple[int, float]] = field(default_factory=list)

    @property
    def best(self) -> int:
        """Return the position of the best point."""
        values = [self.sign * value if isfinite(value) else -inf for _, value in self.points]
        return values.index(max(values))

    def has_turned(self, patience: int) -> bool:
        """Say whether the best point is so many evaluations old."""
        return bool(self.points) and len(self.points) - 1 - self.best >= patience


class SubjectWatch:
    """Evaluates a subject's adapter while it is trained.

    Args:
        recipe: Says when to stop.
        budget: When to evaluate, and what that may cost.
        validate: Returns ``validation``, the loss on pictures kept from training.
        judge: Returns ``likeness`` and ``faithfulness`` of sampled pictures; either may be missing. None samples none.
        rule: The curve that decides which step is kept.
        folder: Where the curve goes; None for nowhere.
    """

    def __init__(
        self,
        recipe: Recipe,
        budget: Budget,
        validate: Evaluate,
        judge: Evaluate | None = None,
        rule: Rule = "validation",
        folder: Path | None = None,
    ) -> None:
        self.recipe, self.budget, self.folder = recipe, budget, folder
        self.validate, self.judge = validate, judge
        self.rule: str = rule
        self.curves: dict[str, Curve] = {"validation": Curve(-1)}
        self.curves.setdefault(rule, Curve(1))
        self.kept: int | None = None

    def is_due(self, step: int) -> bool:
        """Say whether to evaluate after a step; the last one always is."""
        return step in self.budget.evaluations

    def evaluate(self, step: int) -> tuple[Verdict, dict[str, float]]:
        """Measure, and say whether this is the best so far or time to stop."""
        measured = self.validate()
        if self.judge is not None and step in self.budget.scored:
            measured |= self.judge()
            if {"likeness", "faithfulness"} <= measured.keys():
                measured["score"] = max(0.0, measured["likeness"]) * max(0.0, measured["faithfulness"])
        for name, value in measured.items():
            self.curves.setdefault(name, Curve(1)).points.append((step, value))
        deciding = self.curves[self.rule]
        is_best = isfinite(measured.get(self.rule, nan)) and deciding.best == len(deciding.points) - 1
        if is_best:
            self.kept = step
        if self.folder is not None:
            points = {name: curve.points for name, curve in self.curves.items() if curve.points}
            draw_curves(points, self.kept, self.folder / "curve.svg")
        return ("best" if is_best else "stop" if self._is_enough() else "worse"), measured

    def _is_enough(self) -> bool:
        """Say whether the loss and, where it decides, the score have turned."""
        watch = self.recipe.watch
        deciding = (self.curves[name] for name in {"validation", self.rule})
        return watch.stop and all(curve.has_turned(watch.patience) for curve in deciding)

    def kept_validation(self) -> dict[str, float]:
        """Return the validation loss of the kept step, as it was measured."""
        by_step = dict(self.curves["validation"].points)
        return {} if self.kept is None else {"validation": by_step[self.kept]}

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
