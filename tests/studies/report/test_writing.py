"""The report of a study whose truth is known: what it says, that it needs nothing beside it, that it can be read."""

import csv
import re
import sqlite3
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from portraitist.bases import Base
from portraitist.studies.report import writing
from portraitist.studies.report.analysis import GridResult, StudyResult, analyse
from portraitist.studies.report.findings import answer, caveats, grid_findings, terms
from portraitist.studies.report.picture_grids import shown_variants
from portraitist.studies.report.sections import build_sections
from portraitist.studies.report.writing import FIGURES, write_report
from portraitist.studies.runs.engine import Prepared
from portraitist.studies.runs.outcome import RunOutcome
from portraitist.studies.runs.running import picture_name

from ..conftest import STUDY, made_up_outcome, make_up


@pytest.fixture(scope="module")
def result(made_up: Prepared) -> StudyResult:
    return analyse(made_up)


@pytest.fixture(scope="module")
def folder(made_up: Prepared) -> Path:
    write_report(made_up)
    return made_up.table.folder


@pytest.fixture(scope="module")
def page(folder: Path) -> str:
    return (folder / "report.html").read_text(encoding="utf-8")


def grid(result: StudyResult, name: str) -> GridResult:
    return next(each for each in result.grids if each.grid.name == name)


def test_the_answer_is_the_truth_the_runs_were_drawn_from(result: StudyResult) -> None:
    text = " ".join(answer(result))
    assert re.search(r"Across 8 subjects, (full|lora) is best on DINO: 0\.\d{3} \(0\.\d{3} to 0\.\d{3}\)", text)
    assert re.search(r"Within noise of it: (lora|full)\.", text)
    assert "svdiff is best on CLIP-T" in text
    assert "ahead of every other variant by more than noise." in text
    if "full is best on DINO" in text:
        smaller = (
            "The file of lora is 64 times smaller than that of full; on DINO the two are within noise of each other"
        )
        assert f"{smaller}, and on CLIP-T there is no clear loss." in text
    assert re.search(r"PRES \(lower is better\) ranges from 0\.\d+ \(.*\) with svdiff to 0\.6", text)


def test_the_smaller_one_is_named_with_what_it_loses(tiny_base: Base, tmp_path: Path) -> None:
    prepared = make_up(tmp_path, tiny_base)
    whole = [cell for cell in prepared.cells if not cell.variant.values]
    cells = {(cell.variant.method, cell.subject, cell.seed): cell for cell in whole}
    for index, ((method, subject, seed), cell) in enumerate(cells.items()):
        if method != "lora":
            continue
        full = made_up_outcome(cells["full", subject, seed].spec, cells["full", subject, seed].variant)
        likeness = full.scores["dino"] - 0.001 + (0.01 if index % 2 else -0.01)
        scores = {**full.scores, "dino": likeness, "clip_t": full.scores["clip_t"] - 0.05}
        prepared.table.record(replace(made_up_outcome(cell.spec, cell.variant), scores=scores))
    text = " ".join(answer(analyse(prepared)))
    assert "lora is 64 times smaller than that of full; on DINO the two are within noise of each other, but" in text
    assert re.search(r"but on CLIP-T it is behind: 0\.\d+ against 0\.\d+\.", text)


def test_the_scores_that_findings_name_are_explained(result: StudyResult) -> None:
    explained = dict(terms(result.grids[0]))
    assert explained["DINO"] == "Likeness to the photos."
    assert set(explained) == {"DINO", "CLIP-T", "PRES", "Within noise"}


def test_a_value_may_be_a_list(tiny_base: Base, tmp_path: Path) -> None:
    betas = [[0.9, 0.999], [0.8, 0.99]]
    added = {"name": "Betas", "methods": ["lora"], "settings": {"optimizer.betas": betas}}
    made_up = make_up(tmp_path, tiny_base, {**STUDY, "grids": [*STUDY["grids"], added]})
    write_report(made_up)
    variants = grid(analyse(made_up), "Betas").variants
    assert [(each.variant.value("optimizer.betas"), each.done) for each in variants] == [(one, 8) for one in betas]
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "The effect of betas [0.8, 0.99] instead of [0.9, 0.999]" in page


def test_of_two_values_the_report_says_what_the_second_changes(tiny_base: Base, tmp_path: Path) -> None:
    added = {"name": "Two rates", "methods": ["lora", "svdiff"], "settings": {"learning_rate": [1e-2, 0.1]}}
    grids = [*STUDY["grids"], added]
    prepared = make_up(tmp_path, tiny_base, {**STUDY, "grids": grids})
    found = analyse(prepared)
    rates = grid(found, "Two rates")
    dino = next(metric for metric in rates.metrics if metric.name == "dino")
    effects = rates.effects(dino)
    assert effects["lora"].mean == pytest.approx(-0.08, abs=0.02)  # 0.08 a decade
    assert effects["lora"].high < 0
    assert effects["svdiff"].low < 0 < effects["svdiff"].high
    said = next(line for line in answer(found) if line.startswith("Two rates: "))
    assert "Learning rate 0.1 instead of 0.01: DINO " in said
    first, second = grid_findings(rates)[:2]
    assert first.startswith("Learning rate 0.1 instead of 0.01: ")
    assert not second.startswith("Learning rate")  # said once
    by = [f"{effects[name].mean:+.3f} with {name}" for name in ("lora", "svdiff")]
    assert " and ".join(by) in said or " and ".join(by).replace("-", "") in said
    assert said.endswith("(higher is better). With svdiff this is within noise.")
    write_report(prepared)
    row = f"| lora | {effects['lora'].mean:+.3f} ({effects['lora'].low:+.3f} to {effects['lora'].high:+.3f}) |"
    assert row in (tmp_path / "report.md").read_text(encoding="utf-8")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "The effect of learning rate 0.1 instead of 0.01" in page
    few = make_up(tmp_path / "few", tiny_base, {**STUDY, "grids": grids, "subjects": STUDY["subjects"][:2]})
    assert "noise" not in " ".join(answer(analyse(few)))
    assert all(not each.effects(dino) for each in found.grids if each is not rates)


def test_the_best_is_placed_between_the_base_and_the_photos(result: StudyResult, page: str) -> None:
    text = " ".join(answer(result))
    numbers = (
        r"(0\.\d+) for the untrained base and (0\.\d+) between the subject's real photos; (full|lora) closes (\d+) %"
    )
    said = re.search(numbers, text)
    assert said is not None
    base, photos, _, share = said.groups()
    assert (float(base), float(photos)) == pytest.approx((0.4, 0.9), abs=0.03)
    assert int(share) == pytest.approx(80, abs=5)
    methods = grid(result, "Methods")
    assert [variant.method for variant in methods.references] == ["photos", "base"]
    assert methods.best(methods.metrics[0]) not in methods.references
    row = re.search(r'<tr class="reference">.*?real photos.*?</tr>', page, re.DOTALL)
    assert row is not None
    assert not re.search(r'class="(best|near)"', row.group())


def test_robustness_names_the_method_that_moves_least(result: StudyResult) -> None:
    rates = grid(result, "Learning rates")
    dino = next(metric for metric in rates.metrics if metric.name == "dino")
    lora, svdiff = (rates.robustness(method, dino) for method in ("lora", "svdiff"))
    assert lora is not None
    assert svdiff is not None
    assert lora.spread == pytest.approx(0.16, abs=0.04)  # 0.08 for each of two decades
    assert svdiff.spread < 0.03
    assert lora.best_value in (1e-4, 1e-3)
    text = next(line for line in answer(result) if line.startswith("Learning rates: "))
    assert "varies least with svdiff: " in text
    assert re.search(r"svdiff scores .*, the best at \S+ and at least 90 % of that from 0\.0001 to 0\.1[.;]", text)


def test_win_rates_and_front(result: StudyResult) -> None:
    methods = grid(result, "Methods")
    dino, clip = methods.metrics[:2]
    rates = methods.wins(dino)
    assert rates[0][2] == 1.0
    assert rates[2][0] == 0.0
    assert rates[0][0] is None
    assert rates[0][1] == pytest.approx(1 - rates[1][0])  # type: ignore[operator]
    assert "svdiff" in [variant.label for variant in methods.front(clip, dino)]


def test_arms_are_compared_on_what_all_of_them_have(result: StudyResult) -> None:
    layers = grid(result, "Layers")
    lacking = next(variant for variant in layers.variants if variant.failures)
    assert (lacking.done, lacking.planned) == (7, 8)
    assert layers.compared == layers.variants
    assert all(variant.runs.keys() == lacking.runs.keys() for variant in layers.variants)
    assert {subject for variant in layers.references for subject, _ in variant.runs} == set(layers.subjects)


def fail(prepared: Prepared, label: str, count: int) -> None:
    """Let an variant's last runs have failed."""
    chosen = [cell for cell in prepared.cells if cell.variant.label == label][-count:]
    for cell in chosen:
        prepared.table.record(RunOutcome(cell.spec, "failed", "the loss is not finite"))


def test_failures_on_hard_subjects_do_not_change_who_is_best(tiny_base: Base, tmp_path: Path) -> None:
    """Were full's and lora's means of seven subjects set against svdiff's of eight, svdiff alone would have all."""
    prepared = make_up(tmp_path, tiny_base)
    fail(prepared, "full", 1)
    fail(prepared, "lora", 1)
    text = " ".join(answer(analyse(prepared)))
    assert re.search(r"Across 7 subjects, (full|lora) is best on DINO", text)
    assert re.search(r"Within noise of it: (lora|full)\.", text)


def test_an_arm_with_few_runs_is_not_compared(tiny_base: Base, tmp_path: Path) -> None:
    prepared = make_up(tmp_path, tiny_base)
    fail(prepared, "full", 6)
    partial = analyse(prepared)
    methods = grid(partial, "Methods")
    assert [variant.label for variant in methods.compared] == ["lora", "svdiff"]
    assert len(methods.subjects) == 8
    assert "full has only 2 finished runs, so it is not compared with the others." in caveats(partial, methods)
    write_report(prepared)


def test_pictures_show_the_same_values_of_every_method(result: StudyResult) -> None:
    variants = grid(result, "Learning rates").finished
    labels = [(one.method, one.variant.value("learning_rate")) for one in shown_variants(variants, most=5)]
    assert labels == [("lora", 1e-4), ("lora", 0.1), ("svdiff", 1e-4), ("svdiff", 0.1)]
    assert shown_variants(variants, most=len(variants)) == list(variants)
    assert len(shown_variants(variants, most=1)) == 1
    assert shown_variants(variants, most=3) == [variants[0], variants[3]]  # of one method rather than one of each


def test_pictures_of_the_class_follow_those_of_the_subject(tiny_base: Base, tmp_path: Path) -> None:
    prepared = make_up(tmp_path, tiny_base)
    shown = build_sections(analyse(prepared))[0].pictures[0]
    assert all("sks" in prompt for prompt, _ in shown.rows)
    for folder in prepared.table.picture_path("", "").iterdir():
        Image.new("RGB", (8, 8)).save(folder / picture_name("class", 0, 0))
    more = build_sections(analyse(prepared))[0].pictures[0]
    noun = shown.subject.partition("-")[0]
    assert [prompt for prompt, _ in more.rows] == [*(prompt for prompt, _ in shown.rows), f"a photo of a {noun}"]


def test_rates_at_which_training_diverges_are_not_praised(tiny_base: Base, tmp_path: Path) -> None:
    prepared = make_up(tmp_path, tiny_base)
    fail(prepared, "svdiff (learning rate 0.1)", 6)
    partial = analyse(prepared)
    rates = grid(partial, "Learning rates")
    dino = next(metric for metric in rates.metrics if metric.name == "dino")
    svdiff = rates.robustness("svdiff", dino)
    assert svdiff is not None
    assert (len(svdiff.scores), svdiff.failed) == (3, (0.1,))
    text = next(line for line in answer(partial) if line.startswith("Learning rates: "))
    assert " over 3 values (standard deviation" in text
    assert "but runs failed at 0.1" in text
    assert "varies least" not in text


def test_the_first_hypothesis_stays(made_up: Prepared, result: StudyResult) -> None:
    later = made_up.study.model_copy(update={"hypothesis": "It was to be expected all along."})
    base = result.prepared.table.facts()["first_hypothesis"]
    content = writing._content(replace(result, prepared=replace(made_up, study=later)), [])
    assert (content["hypothesis"], content["later_hypothesis"]) == (base, later.hypothesis)


def test_what_failed_and_what_is_missing_is_said(result: StudyResult, tiny_base: Base, tmp_path: Path) -> None:
    assert "1 of 100 runs failed; the end of the report says why." in caveats(result, result.grids[0])
    few = make_up(tmp_path, tiny_base, {**STUDY, "subjects": STUDY["subjects"][:2]})
    with sqlite3.connect(tmp_path / "runs.sqlite") as connection:
        connection.execute("DELETE FROM runs WHERE key IN (SELECT key FROM runs WHERE status = 'done' LIMIT 3)")
    partial = analyse(few)
    said = " ".join(caveats(partial, partial.grids[0]))
    assert "The study is not finished: 3 of " in said
    assert "no difference can be told from noise" in said
    assert "noise" not in " ".join(answer(partial))
    assert "trade" not in " ".join(answer(partial))
    write_report(few)


class Reader(HTMLParser):
    """Collect elements, ids and texts, and check that elements are nested rightly."""

    VOID = ("meta", "link", "img", "br")
    DRAWN = ("line", "path", "text")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.cells: dict[int, list[int]] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in self.DRAWN
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    assert reader.open == []
    return reader


def test_the_page_needs_nothing_beside_it(page: str) -> None:
    elements = read(page).elements
    ids = [attributes["id"] for _, attributes in elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for tag, attributes in elements:
        if "src" in attributes:
            assert str(attributes["src"]).startswith("data:image/")
        if "href" in attributes:
            target = str(attributes["href"])
            assert target == "data:," or (tag == "a" and target.removeprefix("#") in ids)
    outside = re.sub(r'xmlns(:xlink)?="http://www.w3.org/[^"]*"', "", page)
    outside = re.sub(r"<footer>.*?</footer>", "", outside, flags=re.DOTALL)  # which names the sources of the artwork
    assert not re.search(r"https?://|url\(|@import|<script src|fetch\(", outside)
    assert "prefers-color-scheme: dark" in page
    assert 'name="viewport"' in page


def test_tables_have_a_cell_for_every_column(page: str) -> None:
    for table in re.findall(r'<table class="(?:results|gallery)">.*?</table>', page, re.DOTALL):
        counts = {len(re.findall(r"<t[hd]\b", row)) for row in re.findall(r"<tr>.*?</tr>", table, re.DOTALL)}
        assert len(counts) == 1


def test_pictures_wait_until_they_are_seen_and_say_what_they_show(page: str) -> None:
    images = [attributes for tag, attributes in read(page).elements if tag == "img"]
    assert len(images) > 3 * (5 + 3 * 3)
    assert all(attributes["loading"] == "lazy" and attributes["alt"] for attributes in images)
    assert any("on the beach, lora" in str(attributes["alt"]) for attributes in images)


def test_words_of_others_are_escaped(page: str) -> None:
    assert "the &lt;loss&gt; is not finite" in page
    assert "<loss>" not in page


def test_the_order_is_answer_expectation_results_settings(page: str) -> None:
    places = [page.index(words) for words in ('class="answer"', "What was expected", 'id="grid-1"', 'id="settings"')]
    assert places == sorted(places)
    assert page.index("Runs that failed") < page.index('id="settings"')
    for words in ("Recipe of lora", "Machine and versions", "diffusers", "made up"):
        assert page.index(words) > page.index('id="settings"')


def test_markdown_names_files_that_are_there(folder: Path) -> None:
    text = (folder / "report.md").read_text(encoding="utf-8")
    files = re.findall(r"!\[[^]]*\]\(([^)]+)\)", text)
    assert len(files) >= 8
    for name in files:
        assert name.startswith(FIGURES)
        if name.endswith(".svg"):
            drawing = ElementTree.parse(folder / name).getroot()
            assert drawing.tag.endswith("svg")
            words = {text.text for text in drawing.iter("{http://www.w3.org/2000/svg}text")}
            title = str(drawing.findtext("{http://www.w3.org/2000/svg}title"))
            assert title
            assert "over learning rate" not in title or {"lora", "svdiff"} <= words
        else:
            with Image.open(folder / name) as sheet:
                assert sheet.format == "WEBP"
                assert sheet.width > 400
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({line.count("|") for line in table.splitlines()}) == 1


def test_the_summary_holds_what_the_page_shows(folder: Path, result: StudyResult) -> None:
    with (folder / "summary.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 3 + 8 + 3 + 3 * 2
    lora = next(line for line in lines if line["grid"] == "Methods" and line["variant"] == "lora")
    interval = grid(result, "Methods").variants[1].interval("dino")
    assert interval is not None
    assert float(lora["dino"]) == interval.mean
    assert float(lora["dino_low"]) == interval.low
    assert int(lora["file_bytes"]) == 812_000


def test_runs_are_written_flat(folder: Path) -> None:
    with (folder / "runs.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 84 + 2 * 8
    assert {line["setting.layers"] for line in lines} > {"UNet", "UNet-CA", "Up-Blocks"}
    assert all(float(line["score.dino"]) > 0 for line in lines if line["status"] == "done")


def test_parquet_holds_the_same_rows(made_up: Prepared) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    files = write_report(made_up, parquet=True)
    table = parquet.read_table(files[-1])
    assert table.num_rows == 84 + 2 * 8
    done = [row for row in table.to_pylist() if row["status"] == "done"]
    rows = made_up.table.records()
    assert all(row["score.dino"] == rows[row["key"]].scores["dino"] for row in done)


def test_a_subject_with_a_path_for_a_name_stays_in_the_folder(result: StudyResult) -> None:
    sections = [section for section in build_sections(result) if section.pictures]
    named = replace(sections[0].pictures[0], subject="../../../outside/cat")
    figures = writing._draw_figures([replace(sections[0], charts=[], pictures=[named])])
    assert [figure.file for figure in figures[sections[0].name]] == ["1-outside-cat.webp"]
