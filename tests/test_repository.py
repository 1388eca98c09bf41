"""What is kept beside the code: pictures that are small, and links that lead somewhere."""

import re
from pathlib import Path

import pytest

from portraitist.photos import PAGE_BYTES

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
PICTURES = {".png", ".jpg", ".jpeg", ".gif", ".webp", ".svg"}
_CODE = re.compile(r"```.*?```|`[^`]*`", re.DOTALL)
_LINK = re.compile(r"\]\(\s*<?([^)\s>]+)")


def local_links(text: str) -> list[str]:
    """Return the files that a page's links and pictures name, without those of the web and of the page itself."""
    targets = [target.partition("#")[0] for target in _LINK.findall(_CODE.sub("", text))]
    return [target for target in targets if target and not re.match(r"[a-z]+:", target)]


def test_pictures_of_the_pages_are_small() -> None:
    pictures = [path for path in DOCS.rglob("*") if path.suffix.lower() in PICTURES]
    assert pictures
    large = [str(path.relative_to(ROOT)) for path in pictures if path.stat().st_size > PAGE_BYTES]
    assert not large, f"over {PAGE_BYTES // 1000} kB: {', '.join(large)}"


def test_every_picture_is_on_a_page() -> None:
    shown = {(page.parent / link).resolve() for page in PAGES for link in local_links(page.read_text("utf-8"))}
    forgotten = [path for path in DOCS.rglob("*") if path.suffix.lower() in PICTURES and path.resolve() not in shown]
    assert not forgotten


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_to_files_lead_somewhere(page: Path) -> None:
    lost = [link for link in local_links(page.read_text("utf-8")) if not (page.parent / link).exists()]
    assert not lost, f"{page.name} links to {', '.join(lost)}"


def test_links_are_found_and_code_is_passed_over() -> None:
    links = "[one](a.md#part), ![two](b/c.webp), [web](https://example.org), [here](#below)"
    code = "`[no](d.md)`, `two\nlines [no](e.md)`\n\n```\n[no](f.md)\n```"
    text = f"{links}, {code}\n"
    assert local_links(text) == ["a.md", "b/c.webp"]
