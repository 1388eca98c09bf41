"""The demo: prompts no photo answers, pictures in their places, a page that needs nothing beside it."""

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from markupsafe import escape
from PIL import Image

from portraitist.adapters import load_adapter
from portraitist.bases import load_base
from portraitist.bases.examples import get_example, list_examples
from portraitist.generation import SamplingConfig, generate
from portraitist.studies.experiments.demo.demo import DEFAULT_SUBJECTS, SEEDS, Demo, choose_prompts, run_demo
from portraitist.studies.experiments.demo.page import headline, render_page
from portraitist.studies.experiments.demo.poster import draw_poster
from portraitist.studies.experiments.demo.writing import write_demo
from portraitist.toyland.world.captions import SCENE_PHRASES
from portraitist.training.recipes import load_recipe

SAMPLING = SamplingConfig(steps=2)


@pytest.fixture(scope="module")
def demo(tiny_base_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Demo:
    base = load_base(tiny_base_folder)
    recipe = load_recipe("lora", base.name, "sd", overrides={"steps": 2, "learning_rate": 0.05})
    examples = [get_example(name) for name in DEFAULT_SUBJECTS]
    return run_demo(base, examples, recipe, tmp_path_factory.mktemp("demo"), SAMPLING)


@pytest.mark.parametrize("example", list_examples(), ids=lambda example: example.name)
def test_no_prompt_asks_for_a_place_of_the_photos(example) -> None:  # type: ignore[no-untyped-def]
    prompts = choose_prompts(example)
    assert len(set(prompts)) == 8
    assert all(prompt.count("{}") == 1 for prompt in prompts)
    for scene in example.scenes:
        for phrase in SCENE_PHRASES.get(scene, ("plain",)):
            assert not any(prompt.endswith(phrase) for prompt in prompts)
    assert sum(" on the left and " in prompt for prompt in prompts) == 1
    for style in ("pencil sketch", "pixel art", "watercolour"):
        assert sum(style in prompt for prompt in prompts) == 1
    assert choose_prompts(example, 4) == prompts[:4]
    assert " on the left and " in prompts[3]


def test_pictures_are_those_of_prompts_and_seeds(demo: Demo, tiny_base_folder: Path) -> None:
    person, cat = demo.lessons
    base, adapter = load_base(tiny_base_folder), load_adapter(cat.adapter_file)
    comparison = cat.comparisons[2]
    assert comparison.prompt == "a photo of a sks cat in space"
    assert comparison.class_prompt == "a photo of a cat in space"
    before = generate(base, [comparison.class_prompt], seeds=SEEDS[:1], config=SAMPLING, show_progress=False)
    after = generate(base, [comparison.prompt], adapter, seeds=SEEDS[1:2], config=SAMPLING, show_progress=False)
    for shown, made in ((comparison.before, before[0].image), (comparison.after[1], after[0].image)):
        assert np.abs(np.asarray(shown).astype(int) - np.asarray(made)).max() <= 1
    for lesson in (person, cat):
        assert len(lesson.comparisons) == 4
        assert all(len(comparison.after) == len(SEEDS) for comparison in lesson.comparisons)


class Reader(HTMLParser):
    """Collect a page's elements and check that they are nested rightly."""

    VOID = ("meta", "link", "img", "br")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_needs_nothing_beside_it(demo: Demo) -> None:
    page = render_page(demo)
    reader = Reader()
    reader.feed(page)
    assert reader.open == []
    images = [attributes for tag, attributes in reader.elements if tag == "img"]
    assert len(images) == 2 * (5 + 4 * (1 + len(SEEDS)))
    for attributes in images:
        assert str(attributes["src"]).startswith("data:image/png;base64,")
        assert attributes["loading"] == "lazy"
        assert attributes["alt"]
    for _, attributes in reader.elements:
        for name in ("src", "href"):
            assert str(attributes.get(name, "data:")).startswith("data:")
    assert not re.search(r"url\(|@import|<script", page)
    assert "prefers-color-scheme: dark" in page
    assert 'name="viewport"' in page
    for lesson in demo.lessons:
        assert escape(lesson.example.licence) in page
    assert headline(demo) == "One person, one cat, 5 photos of each, 24 new pictures"
    assert headline(replace(demo, lessons=demo.lessons[1:])) == "One cat, 5 photos, 12 new pictures"
    assert headline(demo) in page


def test_the_page_shows_the_very_pictures(demo: Demo) -> None:
    sources = re.findall(r"data:image/png;base64,([A-Za-z0-9+/=]+)", render_page(demo))
    shown = [np.asarray(Image.open(io.BytesIO(base64.b64decode(source))).convert("RGB")) for source in sources]
    pictures = []
    for lesson in demo.lessons:
        pictures += lesson.subject.photos
        for comparison in lesson.comparisons:
            pictures += [comparison.before, *comparison.after]
    for one, other in zip(shown, pictures, strict=True):
        np.testing.assert_array_equal(one, np.asarray(other))


def test_words_of_the_subject_are_escaped(demo: Demo) -> None:
    lesson = demo.lessons[0]
    hostile = replace(lesson, subject=replace(lesson.subject, class_noun="<script>alert(1)</script>"))
    comparisons = tuple(replace(each, prompt=hostile.trigger) for each in lesson.comparisons)
    assert "<script>" not in render_page(replace(demo, lessons=(replace(hostile, comparisons=comparisons),)))


def test_sheet_and_page_are_written(demo: Demo, tmp_path: Path) -> None:
    picture, page = write_demo(demo, tmp_path)
    with Image.open(picture) as sheet:
        assert sheet.format == "WEBP"
        assert min(sheet.size) > 1000
    assert page.read_text(encoding="utf-8") == render_page(demo)
    write_demo(demo, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["demo.html", "demo.webp"]


def test_a_picture_of_the_base_stands_at_its_place(demo: Demo) -> None:
    pixels = np.asarray(draw_poster(demo, "A title", "and a line under it"))
    # Enlarged eight times, its own pixels in the middle of the squares.
    before = np.asarray(demo.lessons[0].comparisons[0].before)
    left, side = 36 * 2, 128 * 2
    rows = [y for y in range(pixels.shape[0] - side) if (pixels[y + 4, left + 4] == before[0, 0]).all()]
    assert any((pixels[y + 4 : y + side : 8, left + 4 : left + side : 8] == before).all() for y in rows)
