"""Charts: everything inside the frame, colours left to the page, labels that cover each other as little as can be."""

import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from portraitist.studies.report.charts import Chart, Point, Series, curves, scatter

SVG = "{http://www.w3.org/2000/svg}"


def drawn(chart: Chart) -> ElementTree.Element:
    return ElementTree.fromstring(str(chart.draw()))


def marks(chart: Chart) -> dict[str, tuple[float, float]]:
    """Return the places of the dots by what is said when they are pointed at."""
    found = {}
    for path in drawn(chart).iter(f"{SVG}path"):
        if path.get("aria-roledescription") == "circle":
            x, y = re.findall(r"-?[\d.]+", str(path.get("transform")))
            found[str(path.get("aria-label"))] = (float(x), float(y))
    return found


def words(chart: Chart) -> list[str]:
    return [str(text.text) for text in drawn(chart).iter(f"{SVG}text")]


def ticks(chart: Chart) -> dict[str, float]:
    """Return the places of the labels along the horizontal axis."""
    axis = next(group for group in drawn(chart).iter(f"{SVG}g") if "role-axis-label" in str(group.get("class")))
    shown = [text for text in axis if text.get("opacity") != "0"]
    return {str(text.text): float(re.findall(r"-?[\d.]+", str(text.get("transform")))[0]) for text in shown}


def lines(chart: Chart, style: str) -> list[ElementTree.Element]:
    """Return the drawn lines of a colour."""
    return [
        line for tag in ("line", "path") for line in drawn(chart).iter(f"{SVG}{tag}") if line.get("stroke") == style
    ]


def test_everything_is_inside_the_frame() -> None:
    points = [
        Point(i * 0.1, (i * 7 % 5) * 0.01, note=str(i), x_range=(i * 0.1 - 0.05, i * 0.1 + 0.05)) for i in range(6)
    ]
    chart = scatter("t", "x", "y", points)
    width, height = (chart.specification[side] for side in ("width", "height"))
    places = marks(chart)
    assert len(places) == 6
    assert all(0 < x < width and 0 < y < height for x, y in places.values())
    rules = [line for line in lines(chart, "var(--c0)") if line.tag == f"{SVG}line" and float(line.get("x2", 0)) > 0]
    assert len(rules) == 6
    for rule in rules:
        left = float(re.findall(r"-?[\d.]+", str(rule.get("transform")))[0])
        assert 0 < left < left + float(rule.get("x2", 0)) < width


def test_larger_values_are_further_right_and_higher() -> None:
    places = marks(scatter("t", "x", "y", [Point(1, 1, note="low"), Point(2, 2, note="high")]))
    assert places["high"][0] > places["low"][0]
    assert places["high"][1] < places["low"][1]


def test_the_front_is_joined_and_nothing_else() -> None:
    points = [Point(2, 1, "a", front=True), Point(1, 2, "b", front=True), Point(1, 1, "c")]
    chart = scatter("t", "x", "y", points)
    assert chart.front
    (dashed,) = [line for line in lines(chart, "var(--quiet)") if line.get("stroke-dasharray")]
    ends = [tuple(map(float, end)) for end in re.findall(r"([\d.]+),([\d.]+)", str(dashed.get("d")))]
    places = marks(chart)
    assert ends == [pytest.approx(places["b"], abs=0.01), pytest.approx(places["a"], abs=0.01)]
    assert not scatter("t", "x", "y", [Point(2, 1, front=True), Point(1, 1)]).front


def test_labels_of_near_points_do_not_cover_each_other() -> None:
    chart = scatter("t", "x", "y", [Point(1, 1, "left one"), Point(1.002, 1.001, "right one"), Point(2, 2, "far")])
    one, other, far = chart.specification["data"]["values"]
    assert (one["align"], one["dy"]) != (other["align"], other["dy"])
    assert far["align"] == "right"  # away from the frame
    assert {"left one", "right one", "far"} <= set(words(chart))


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ((0.0, 1.0), {"0.0", "0.2", "1.0"}),
        ((1e-4, 1e-1), {"0.0001", "0.001", "0.01", "0.1"}),
        ((0.001, 0.05), {"0.001", "0.002", "0.005", "0.01", "0.02", "0.05"}),
        ((60.0, 500.0), {"100", "200", "500"}),
    ],
)
def test_a_wide_axis_is_logarithmic_with_round_ticks(values: tuple[float, float], labels: set[str]) -> None:
    chart = curves("t", "rate", "y", [Series("one", [Point(value, 0.123) for value in values], 0)])
    assert labels <= set(words(chart))
    places = ticks(chart)
    assert labels <= set(places)
    assert len(places) <= 9
    assert all(0 <= place <= chart.specification["width"] for place in places.values())


def test_ticks_of_a_wide_axis_leave_room_for_their_words() -> None:
    points = [Point(rate, 1.0) for rate in (6e-4, 6e-3, 3e-2)]
    places = ticks(curves("t", "x", "y", [Series("one", points, 0)]))
    assert min(b - a for a, b in pairwise(places.values())) > 30


def test_bands_and_lines_have_the_colour_of_their_series() -> None:
    points = [Point(x, 1.0, note=f"at {x}", y_range=(0.5, 2.0)) for x in (1.0, 2.0, 3.0)]
    chart = curves("t", "x", "y", [Series("lora", points, 3)])
    (band,) = [path for path in drawn(chart).iter(f"{SVG}path") if path.get("opacity") == "0.13"]
    assert band.get("fill") == "var(--c3)"
    assert len(re.findall(r"[ML]", str(band.get("d")))) == 6
    assert len(lines(chart, "var(--c3)")) == 1
    assert set(marks(chart)) == {"at 1.0", "at 2.0", "at 3.0"}
    dots = [path for path in drawn(chart).iter(f"{SVG}path") if path.get("aria-roledescription") == "circle"]
    assert all(dot.get("fill") == "var(--c3)" for dot in dots)
    assert chart.legend == ((3, "lora"),)


def test_equal_values_can_be_drawn() -> None:
    points = [Point(1.0, 0.0, note="one"), Point(1.0, 0.0, note="two")]
    for chart in (scatter("t", "x", "y", points), curves("t", "x", "y", [Series("one", points, 0)])):
        assert "NaN" not in chart.draw()
        assert all(0 < x < 356 and 0 < y < 230 for x, y in marks(chart).values())


def test_words_of_others_are_escaped() -> None:
    chart = scatter("<t>", "x", "y", [Point(1, 1, "<script>", "a & b"), Point(2, 2)])
    assert "<script>" not in chart.draw()
    assert {"<script>"} <= set(words(chart))
    assert "a & b" in marks(chart)


def test_a_picture_that_stands_alone_has_its_legend_and_its_colours() -> None:
    names = ["lora", "krona", "svdiff", "lidb", "textual-inversion", "full", "a longer name than any other"]
    chart = curves("a < b", "x", "y", [Series(name, [Point(1, 1), Point(2, 2)], i) for i, name in enumerate(names)])
    alone = ElementTree.fromstring(str(chart.draw_alone(":root { --c0: red }")))
    assert alone.findtext(f"{SVG}title") == "a < b"
    assert alone.findtext(f"{SVG}style") == ":root { --c0: red }"
    assert set(names) <= {str(text.text) for text in alone.iter(f"{SVG}text")}
    assert not set(names) & set(words(chart))
