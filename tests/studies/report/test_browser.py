"""The report in a real browser at two widths: nothing wider than the screen, both schemes of colours, sorting works."""

import html
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from portraitist.studies.report.writing import write_report
from portraitist.studies.runs.engine import Prepared

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="needs Chromium or Chrome")
HEIGHT = 3200
# How the page looked when somebody last looked at it, small enough that fonts of another machine make no difference.
# After a change that is wanted: look at the page, then run this file with PORTRAITIST_KEEP_SCREENSHOTS=1.
KEPT = Path(__file__).parent / "screenshots"
SMALL = 20  # pixels of the page for one of the kept picture
# Written into the page's title by the browser, where a test can read it: document width, and rows after sorting.
PROBE = """<script>
  addEventListener("load", () => {
    const head = document.querySelectorAll(".results thead button");
    head[1].click(); head[1].click();
    const rows = [...document.querySelector(".results").tBodies[0].rows].map(row => row.cells[1].dataset.sort);
    document.title = JSON.stringify({width: document.documentElement.scrollWidth, screen: innerWidth, rows});
  });
</script></body>"""


def browse(*arguments: str) -> str:
    assert BROWSER is not None
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--virtual-time-budget=3000"]
    done = subprocess.run([BROWSER, *flags, *arguments], capture_output=True, text=True, timeout=120, check=True)
    return done.stdout


@pytest.fixture(scope="module")
def page(made_up: Prepared) -> Path:
    return write_report(made_up)[0]


def photograph(page: Path, target: Path, width: int, *flags: str) -> np.ndarray:
    browse(*flags, f"--window-size={width},{HEIGHT}", f"--screenshot={target}", page.as_uri())
    with Image.open(target) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def test_screenshots_of_two_widths_and_schemes(page: Path, tmp_path: Path) -> None:
    wide = photograph(page, tmp_path / "wide.png", 1280)
    narrow = photograph(page, tmp_path / "narrow.png", 500)
    dark = photograph(page, tmp_path / "dark.png", 1280, "--blink-settings=preferredColorScheme=0")
    paper = {"light": (250, 249, 246), "dark": (23, 22, 20)}
    for picture, scheme in ((wide, "light"), (narrow, "light"), (dark, "dark")):
        assert picture.shape[0] == HEIGHT
        assert tuple(picture[2, 2]) == paper[scheme]
        # The margins stay empty: nothing runs out of the page.
        assert (picture[:, :8] == paper[scheme]).all()
        ink = np.abs(picture - np.array(paper[scheme])).sum(axis=2) > 60
        assert 0.01 < ink.mean() < 0.5
    # The same layout in both schemes: where one has ink, so has the other.
    inks = [np.abs(each - each[2, 2]).sum(axis=2) > 120 for each in (wide, dark)]
    rows = [ink.any(axis=1) for ink in inks]
    assert (rows[0] == rows[1]).mean() > 0.9


def photograph_small(page: Path, target: Path, width: int) -> Image.Image:
    photograph(page, target, width)
    with Image.open(target) as image:
        return image.convert("L").resize((width // SMALL, HEIGHT // SMALL), Image.Resampling.BOX)


def looks_as_kept(now: Image.Image, width: int) -> bool:
    with Image.open(KEPT / f"study-{width}.png") as image:
        difference = np.abs(np.asarray(now).astype(int) - np.asarray(image))
    return bool(difference.mean() < 4 and (difference > 60).mean() < 0.01)


@pytest.mark.parametrize("width", [500, 1280])
def test_the_page_looks_as_it_did(page: Path, tmp_path: Path, width: int) -> None:
    now = photograph_small(page, tmp_path / "now.png", width)
    if os.environ.get("PORTRAITIST_KEEP_SCREENSHOTS"):
        KEPT.mkdir(exist_ok=True)
        now.save(KEPT / f"study-{width}.png")
    assert looks_as_kept(now, width)


@pytest.mark.parametrize("width", [500, 1280])
@pytest.mark.parametrize("gone", ["main table", "figure", "header"])
def test_what_is_gone_from_the_page_is_missed(page: Path, tmp_path: Path, width: int, gone: str) -> None:
    changed = tmp_path / "changed.html"
    style = f"<style>{gone} {{ display: none }}</style></head>"
    changed.write_text(page.read_text(encoding="utf-8").replace("</head>", style), encoding="utf-8")
    assert not looks_as_kept(photograph_small(changed, tmp_path / "now.png", width), width)


@pytest.mark.parametrize("width", [500, 1280])
def test_nothing_is_wider_than_the_screen_and_tables_sort(page: Path, tmp_path: Path, width: int) -> None:
    probed = tmp_path / "probed.html"
    probed.write_text(page.read_text(encoding="utf-8").replace("</body>", PROBE), encoding="utf-8")
    shown = browse(f"--window-size={width},{HEIGHT}", "--dump-dom", probed.as_uri())
    title = re.search(r"<title>(.*?)</title>", shown)
    assert title is not None
    facts = json.loads(html.unescape(title[1]))
    assert facts["screen"] == width
    assert facts["width"] <= width
    values = [float(value) for value in facts["rows"]]
    assert values == sorted(values)
    assert len(values) == 3 + 2  # variants and references
