"""Writing the demo's sheet and page."""

from pathlib import Path

from portraitist.files import write_aside
from portraitist.studies.demo.demo import Demo
from portraitist.studies.demo.page import headline, render_page, summary
from portraitist.studies.demo.poster import draw_poster


def write_demo(demo: Demo, folder: Path) -> tuple[Path, Path]:
    """Write ``demo.png`` and ``demo.html`` into a folder, over those that are there; return both paths."""
    picture, page = folder / "demo.png", folder / "demo.html"
    with write_aside(picture) as temporary:
        draw_poster(demo, headline(demo), summary(demo)).save(temporary, format="PNG", optimize=True)
    with write_aside(page) as temporary:
        temporary.write_text(render_page(demo), encoding="utf-8")
    return picture, page
