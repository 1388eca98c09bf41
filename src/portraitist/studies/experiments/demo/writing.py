"""Writing the demo's sheet and page."""

from pathlib import Path

from portraitist.files import write_aside
from portraitist.photos import PAGE_SUFFIX, encode_for_page
from portraitist.studies.experiments.demo.demo import Demo
from portraitist.studies.experiments.demo.page import headline, render_page, summary
from portraitist.studies.experiments.demo.poster import draw_poster


def write_demo(demo: Demo, folder: Path) -> tuple[Path, Path]:
    """Write ``demo.webp`` and ``demo.html`` into a folder, over those that are there; return both paths."""
    picture, page = folder / f"demo{PAGE_SUFFIX}", folder / "demo.html"
    with write_aside(picture) as temporary:
        temporary.write_bytes(encode_for_page(draw_poster(demo, headline(demo), summary(demo))))
    with write_aside(page) as temporary:
        temporary.write_text(render_page(demo), encoding="utf-8")
    return picture, page
