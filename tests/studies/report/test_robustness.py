"""How much scores move over a setting, and who may be said to move least."""

from collections.abc import Sequence

import pytest

from portraitist.studies.report.robustness import Robustness, steadiest

SUBJECTS = "abcdef"


def moving(method: str, means: Sequence[float], *, subjects: str = SUBJECTS, **kwargs: object) -> Robustness:
    """Return scores at the values 1, 2, ... that move alike for all subjects, each about a level of its own."""
    levels = {name: 0.01 * (index - (len(subjects) - 1) / 2) for index, name in enumerate(subjects)}
    scores = {value: {name: at + level for name, level in levels.items()} for value, at in enumerate(means, 1)}
    return Robustness(method, scores, **kwargs)  # type: ignore[arg-type]


def test_figures() -> None:
    found = moving("lora", [0.2, 0.5, 0.8, 0.5])
    assert (found.best_value, found.lowest, found.highest) == (3, pytest.approx(0.2), pytest.approx(0.8))
    assert found.spread == pytest.approx(0.6)
    assert found.deviation == pytest.approx(0.2449490)
    assert found.deviations == pytest.approx(dict.fromkeys(SUBJECTS, 0.2449490))
    lower = moving("lora", [0.2, 0.5, 0.8, 0.5], higher_is_better=False)
    assert lower.best_value == 1


@pytest.mark.parametrize(
    ("means", "kept"),
    [
        ([0.1, 0.75, 0.8, 0.73, 0.1], (2, 4)),
        ([0.8, 0.1, 0.79], (1, 1)),  # what lies behind a gap is another place
        ([0.71, 0.75, 0.72, 0.8], (4, 4)),
        ([0.73, 0.75, 0.74, 0.8], (1, 4)),
        ([-0.2, -0.1], None),
    ],
)
def test_where_most_of_the_best_is_kept(means: Sequence[float], kept: tuple[int, int] | None) -> None:
    assert moving("lora", means).kept == kept
    assert moving("lora", means, higher_is_better=False).kept is None


def test_a_subject_without_a_score_somewhere_has_no_deviation() -> None:
    scores = {1: {"a": 0.1, "b": 0.2}, 2: {"a": 0.3}}
    assert Robustness("lora", scores).deviations == pytest.approx({"a": 0.1414214})


def test_who_moves_least_does_so_by_range_and_deviation() -> None:
    calm, wild = moving("calm", [0.5, 0.55, 0.5, 0.5]), moving("wild", [0.1, 0.9, 0.5, 0.2])
    assert steadiest([wild, calm]) is calm
    # A smaller range, but more often at its ends.
    narrow, wide = moving("narrow", [0.4, 0.6, 0.4, 0.6]), moving("wide", [0.38, 0.62, 0.5, 0.5])
    assert narrow.spread < wide.spread
    assert narrow.deviation > wide.deviation
    assert steadiest([narrow, wide]) is None


def test_who_moves_least_is_said_of_what_can_be_compared() -> None:
    calm, wild = moving("calm", [0.5, 0.55, 0.5]), moving("wild", [0.1, 0.9, 0.5])
    assert steadiest([calm]) is None
    assert steadiest([moving("calm", [0.5, 0.5]), wild]) is None
    assert steadiest([calm, moving("wild", [0.1, 0.9, 0.5], failed=(4,))]) is None
    few = [moving(one.method, list(one.means.values()), subjects="abcde") for one in (calm, wild)]
    assert steadiest(few) is None


def test_a_difference_within_noise_is_none() -> None:
    """For half of the subjects the one moves less, for half the other."""
    steps = dict(zip(SUBJECTS, (0.01, 0.2, 0.01, 0.2, 0.01, 0.2), strict=True))
    one = Robustness("one", {1: dict.fromkeys(SUBJECTS, 0.5), 2: {name: 0.5 + step for name, step in steps.items()}})
    other = moving("other", [0.5, 0.61])
    assert one.spread < other.spread
    assert one.deviation < other.deviation
    assert steadiest([one, other]) is None
