"""The curve of a watched run: a panel a quantity, a point a look, the kept step marked."""

from math import nan
from pathlib import Path
from xml.etree import ElementTree

from portraitist.training.watching.curves import draw_curves

SVG = "{http://www.w3.org/2000/svg}"


def test_every_quantity_has_a_panel_and_every_finite_value_a_point(tmp_path: Path) -> None:
    looks = [(10, 0.3), (20, 0.2), (30, 0.25)]
    draw_curves({"validation": looks, "likeness": [(10, 0.1), (20, nan), (30, 0.4)]}, 20, tmp_path / "curve.svg")
    drawing = ElementTree.parse(tmp_path / "curve.svg").getroot()
    words = {str(text.text) for text in drawing.iter(f"{SVG}text")}
    assert {"validation", "likeness", "kept: step 20"} <= words
    marks = [path for path in drawing.iter(f"{SVG}path") if path.get("aria-roledescription") == "point"]
    assert len(marks) == 3 + 2
    assert len([line for line in drawing.iter(f"{SVG}line") if line.get("stroke-dasharray")]) == 2


def test_a_run_that_measured_nothing_yet_can_be_drawn(tmp_path: Path) -> None:
    for curves in ({}, {"validation": []}, {"validation": [(10, nan)]}, {"validation": [(10, 0.1)]}):
        draw_curves(curves, None, tmp_path / "curve.svg")
        drawing = ElementTree.parse(tmp_path / "curve.svg").getroot()
        assert not [text for text in drawing.iter(f"{SVG}text") if "kept" in str(text.text)]
