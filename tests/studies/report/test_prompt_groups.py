"""Scores by group of prompts: what a report says of them, and that it says nothing where there are none."""

from pathlib import Path

import pytest

from portraitist.errors import BadConfig
from portraitist.studies.report.analysis import analyse
from portraitist.studies.report.prompt_groups import group_results
from portraitist.studies.report.sections import build_sections
from portraitist.studies.report.writing import write_report
from portraitist.studies.runs.engine import Prepared

from ..conftest import small_study

POSTERS = ("a poster of a {} in the forest",)


def test_a_group_has_the_means_of_its_own_prompts(made_up: Prepared) -> None:
    (grid, *_) = analyse(made_up).grids
    results = group_results(grid, made_up.study.prompt_groups)
    assert list(results) == ["places", "styles"]
    for whole, places, styles in zip(
        grid.variants, results["places"].variants, results["styles"].variants, strict=True
    ):
        mean = whole.interval("dino")
        assert mean is not None
        for group, change in ((places, 0.1), (styles, -0.2)):
            found = group.interval("dino")
            assert found is not None
            assert found.mean == pytest.approx(mean.mean + change)
            assert found.low < found.mean < found.high
    assert [each.method for each in results["styles"].references] == ["photos", "base"]


def test_a_single_group_is_not_shown(made_up: Prepared) -> None:
    (grid, *_) = analyse(made_up).grids
    assert group_results(grid, {"styles": POSTERS}) == {}
    assert group_results(grid, {"styles": POSTERS, "clothes": ("a photo of a {} in a hat",)}) == {}


def test_reports_have_a_table_and_a_chart_of_each_headline(made_up: Prepared, tmp_path: Path) -> None:
    section, over_rates, _ = build_sections(analyse(made_up))
    assert over_rates.groups == ()
    likeness, following = section.groups
    assert (likeness.title, following.title) == ("DINO ↑", "CLIP-T ↑")
    assert likeness.groups == ("places", "styles")
    assert [name for name, _ in likeness.rows] == ["full", "lora", "svdiff", "untrained base"]
    best = [name for name, entries in likeness.rows if entries[0].standing == "best"]
    assert len(best) == 1
    titles = [chart.title for chart in section.charts]
    assert titles[-2:] == ["DINO by group of prompts", "CLIP-T by group of prompts"]
    drawing = section.charts[-2].draw()
    assert drawing.count('aria-roledescription="circle"') == 6
    assert all(f">{group}<" in drawing for group in ("places", "styles"))
    page, text, *_ = write_report(made_up, page=tmp_path / "page.md")
    assert "DINO ↑ by group of prompts</h3>" in page.read_text()
    assert "DINO ↑, by group of prompts:" in text.read_text()
    assert "| | places | styles |" in text.read_text()
    assert '<th scope="row">prompts styles</th><td>a poster of a {} in the forest</td>' in page.read_text()


def test_prompts_are_a_list_or_lists_by_group() -> None:
    assert small_study(prompts=list(POSTERS)).prompt_groups == {}
    study = small_study(
        prompts={"styles": POSTERS, "places": ["a {} in the snow"]},
        more_prompts={"cat": {"styles": ["pixel art of a {}"]}, "person": ["a {} in a hat"]},
    )
    assert study.prompt_groups == {"styles": (*POSTERS, "pixel art of a {}"), "places": ("a {} in the snow",)}
    assert study.prompts_of("cat") == (*POSTERS, "a {} in the snow", "pixel art of a {}")
    assert study.prompts_of("person") == (*POSTERS, "a {} in the snow", "a {} in a hat")
    assert study.prompts_of("robot") == (*POSTERS, "a {} in the snow")


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"prompts": []}, "at least one prompt is needed"),
        ({"prompts": {"styles": []}}, "at least one prompt is needed, and one in every group"),
        ({"prompts": {}}, "prompts: "),
        ({"prompts": {"styles": ["a poster"]}}, "must contain {} exactly once"),
        ({"prompts": {"a": POSTERS, "b": POSTERS}}, "is in two groups"),
        ({"prompts": {"a": POSTERS}, "more_prompts": {"cat": {"b": POSTERS}}}, "is in two groups"),
        ({"more_prompts": {"cat": ["a poster"]}}, "must contain {} exactly once"),
    ],
)
def test_prompts_that_cannot_work_are_named(changes: dict[str, object], complaint: str) -> None:
    with pytest.raises(BadConfig, match=complaint.replace("{}", r"\{\}")):
        small_study(**changes)
