"""Charts: everything inside the frame, round ticks, labels that cover each other as little as can be."""

from itertools import pairwise

import pytest

from portraitist.studies.charts import Chart, Point, Series, curves, nice_step, scatter


def spread(count: int) -> list[Point]:
    return [
        Point(index * 0.1, (index * 7 % 5) * 0.01, f"arm {index}", x_range=(index * 0.1 - 0.05, index * 0.1 + 0.05))
        for index in range(count)
    ]


def test_everything_is_inside_the_frame() -> None:
    chart = scatter("t", "x", "y", spread(6))
    for dot in chart.dots:
        assert chart.left <= dot.x <= chart.right
        assert chart.top <= dot.y <= chart.bottom
        assert dot.left is not None
        assert dot.right is not None
        assert chart.left <= dot.left < dot.x < dot.right <= chart.right
    assert all(chart.left <= tick.at <= chart.right for tick in chart.x_ticks)
    assert all(chart.top <= tick.at <= chart.bottom for tick in chart.y_ticks)


def test_larger_values_are_further_right_and_higher() -> None:
    low, high = scatter("t", "x", "y", [Point(1, 1), Point(2, 2)]).dots
    assert high.x > low.x
    assert high.y < low.y


def test_the_front_is_joined_from_left_to_right() -> None:
    points = [Point(2, 1, front=True), Point(1, 2, front=True), Point(1, 1)]
    xs = [float(pair.split(",")[0]) for pair in scatter("t", "x", "y", points).front.split()]
    assert len(xs) == 2
    assert xs == sorted(xs)


def test_labels_of_near_points_do_not_cover_each_other() -> None:
    dots = scatter("t", "x", "y", [Point(1, 1, "left one"), Point(1.002, 1.001, "right one"), Point(2, 2)]).dots
    assert (dots[0].anchor, dots[0].label_y) != (dots[1].anchor, dots[1].label_y)


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ((0.0, 1.0), {"0.0", "0.5", "1.0"}),
        ((1e-4, 1e-1), {"0.0001", "0.001", "0.01", "0.1"}),
        ((0.001, 0.05), {"0.001", "0.002", "0.005", "0.01", "0.02", "0.05"}),
        ((60.0, 500.0), {"100", "200", "500"}),
    ],
)
def test_ticks_are_round(values: tuple[float, float], labels: set[str]) -> None:
    chart = curves("t", "x", "y", [Series("one", [Point(value, value) for value in values], 0)])
    assert labels <= {tick.label for tick in chart.x_ticks}
    assert len(chart.x_ticks) <= 9


def test_ticks_of_a_wide_axis_leave_room_for_their_words() -> None:
    points = [Point(rate, 1.0) for rate in (6e-4, 6e-3, 3e-2)]
    places = [tick.at for tick in curves("t", "x", "y", [Series("one", points, 0)]).x_ticks]
    assert min(b - a for a, b in pairwise(places)) > 30


def test_a_band_goes_round_the_intervals() -> None:
    points = [Point(x, 1.0, y_range=(0.5, 2.0)) for x in (1.0, 2.0, 3.0)]
    (path,) = curves("t", "x", "y", [Series("one", points, 3)]).paths
    assert len(path.band.split()) == 6
    assert all(dot.colour == 3 for dot in path.dots)


def test_equal_values_can_be_drawn() -> None:
    chart: Chart = scatter("t", "x", "y", [Point(1.0, 0.0), Point(1.0, 0.0)])
    assert all(chart.left < dot.x < chart.right for dot in chart.dots)


@pytest.mark.parametrize(("step", "nice"), [(0.03, 0.05), (1.0, 1.0), (1.1, 2.0), (6.0, 10.0), (0.0002, 0.0002)])
def test_steps_are_one_two_or_five(step: float, nice: float) -> None:
    assert nice_step(step) == pytest.approx(nice)


def test_a_picture_that_stands_alone_has_room_for_its_legend() -> None:
    names = ["lora", "krona", "svdiff", "lidb", "textual-inversion", "full", "a longer name than any other"]
    points = [Point(1, 1), Point(2, 2)]
    chart = curves("t", "x", "y", [Series(name, points, index) for index, name in enumerate(names)])
    places = chart.legend_places
    assert [(colour, name) for _, _, colour, name in places] == list(enumerate(names))
    assert len({y for _, y, _, _ in places}) > 1
    assert all(chart.height < y < chart.height_with_legend for _, y, _, _ in places)
    for (x, y, _, name), (next_x, next_y, _, _) in pairwise(places):
        assert next_y > y or next_x > x + 6 * len(name)
        assert x + 6 * len(name) < chart.width
    assert scatter("t", "x", "y", points).height_with_legend == chart.height
