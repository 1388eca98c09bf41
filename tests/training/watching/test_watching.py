"""The watch: what it may cost, which step it keeps, when it stops."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from portraitist.training.recipes import Recipe, load_recipe
from portraitist.training.watching.watching import Budget, SubjectWatch, rows_of, scoring_advice


def recipe(folder: str = "sd", method: str = "lora", **settings: Any) -> Recipe:
    base, family = (folder, "sd") if folder == "toyland" else ("x", folder)
    return load_recipe(method, base, family, overrides=settings)


def passes(budget: Budget) -> int:
    """Count the passes through the denoiser that all evaluations take: guidance takes two, decoding is worth three."""
    scoring = len(budget.scored) * budget.prompts * (2 * budget.sampling_steps + 3)
    return scoring + len(budget.evaluations) * budget.samples


@pytest.mark.parametrize("every", [5, 50])
@pytest.mark.parametrize("draws", [False, True])
@pytest.mark.parametrize("folder", ["toyland", "sd", "sdxl", "flux"])
@pytest.mark.parametrize("method", ["lora", "krona", "lidb"])
def test_evaluations_cost_no_more_than_their_share(folder: str, method: str, draws: bool, every: int) -> None:
    watched = recipe(folder, method, watch={"every": every})
    budget = Budget.of(watched, rows_of(watched), draws)
    assert passes(budget) <= watched.watch.time_share * watched.steps * rows_of(watched) * 2
    assert budget.evaluations[-1] == watched.steps
    assert all(step % every == 0 for step in budget.evaluations[:-1])
    assert budget.samples >= 4
    assert not budget.scored or len(budget.scored) >= 4
    assert set(budget.scored) <= set(budget.evaluations)
    assert not budget.scored or budget.scored[-1] == watched.steps


def test_more_time_buys_better_evaluations_and_too_little_draws_nothing() -> None:
    shares = (0.1, 0.2, 0.5, 1.0)
    budgets = [Budget.of(recipe(watch={"every": 50, "time_share": share}), 1, True) for share in shares]
    assert [bool(budget.scored) for budget in budgets] == [False, False, True, True]
    assert [budget.prompts for budget in budgets] == sorted(budget.prompts for budget in budgets)
    assert budgets[-1].prompts == 4
    assert budgets[-1].sampling_steps == 12


def test_evaluations_that_would_be_too_small_are_further_apart() -> None:
    assert Budget.of(recipe(watch={"every": 5}), 1, False).evaluations == (*range(45, 500, 45), 500)


def test_encoders_that_go_unused_are_said() -> None:
    named = {"subject_encoder": "dino", "prompt_encoder": "clip"}
    assert "so the validation loss decides" in str(scoring_advice(recipe(watch={"every": 50, **named})))
    assert scoring_advice(recipe(watch={"every": 50})) is None
    assert scoring_advice(recipe(watch=named)) is None
    assert scoring_advice(recipe(watch={"every": 50, "time_share": 0.5, **named})) is None


def evaluated(watch: SubjectWatch) -> dict[int, str]:
    """Return the verdicts on all steps of a run, or until the watch stops it."""
    verdicts = {}
    for step in range(1, watch.recipe.steps + 1):
        if watch.is_due(step):
            verdicts[step], _ = watch.evaluate(step)
            if verdicts[step] == "stop":
                break
    return verdicts


def measured(name: str, values: Sequence[float]) -> Callable[[], dict[str, float]]:
    left: Iterator[float] = iter(values)
    return lambda: {name: next(left)}


def scored(values: Sequence[float]) -> Callable[[], dict[str, float]]:
    left: Iterator[float] = iter(values)
    return lambda: {"likeness": next(left), "faithfulness": 1.0}


FALLING_THEN_RISING = [0.30, 0.20, 0.21, 0.19, 0.25, 0.24, 0.23, 0.4, 0.5, 0.9]


def test_where_nothing_is_drawn_the_validation_loss_decides() -> None:
    watched = recipe(watch={"every": 50})
    watch = SubjectWatch(watched, Budget.of(watched, 1, True), measured("validation", FALLING_THEN_RISING))
    verdicts = evaluated(watch)
    assert watch.kept == 200
    assert list(verdicts.items())[-1] == (350, "stop")


def test_where_scores_are_drawn_they_decide_from_the_first_to_the_last() -> None:
    """The loss is best at step 200, and the first score comes early; neither keeps a step that scores worse."""
    watched = recipe(watch={"every": 50, "time_share": 1.0, "stop": False})
    budget = Budget.of(watched, 1, True)
    assert len(budget.scored) == 4
    judge = scored([0.4, 0.6, 0.9, 0.5])
    watch = SubjectWatch(watched, budget, measured("validation", FALLING_THEN_RISING), judge, "score")
    evaluated(watch)
    assert watch.kept == budget.scored[2]


def test_a_run_stops_when_loss_and_score_have_turned() -> None:
    watched = recipe("sd", "krona", watch={"every": 50, "patience": 2})
    budget = Budget.of(watched, rows_of(watched), True)
    assert len(budget.scored) >= 4
    watch = SubjectWatch(
        watched,
        budget,
        measured("validation", FALLING_THEN_RISING),
        scored([0.5, 0.9, 0.8, 0.7, 0.6]),
        "score",
    )
    verdicts = evaluated(watch)
    assert watch.kept == budget.scored[1]
    assert list(verdicts.items())[-1] == (budget.scored[3], "stop")
