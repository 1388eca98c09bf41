"""The documents about the code speak of what there is: files, modules, classes and functions they name exist."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "portraitist"
DOCUMENTS = ("docs/architecture.md", "CONTRIBUTING.md")
PATH = re.compile(r"[\w.]+(/[\w.]*)*\.(py|yaml|toml|md|txt|json|safetensors)|[\w.-]+(/[\w.-]+)*/")
MODULE = re.compile(r"portraitist(\.\w+)+")
NAME = re.compile(r"[A-Za-z_]\w*")


@cache
def known_identifiers() -> frozenset[str]:
    """Return every name that the sources and the tests define or use."""
    found: set[str] = set()
    for folder in (SOURCE, ROOT / "tests", ROOT / "benchmarks"):
        for file in folder.rglob("*.py"):
            found |= set(identifiers(ast.parse(file.read_text())))
            found |= set(file.relative_to(folder).with_suffix("").parts)
    return frozenset(found)


def identifiers(tree: ast.AST) -> Iterator[str]:
    """Yield the names in a module: of definitions, arguments, attributes and variables, and short strings."""
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.Name(id=name) | ast.Attribute(attr=name):
                yield name
            case ast.arg(arg=name):
                yield name
            case ast.Constant(value=str(text)) if NAME.fullmatch(text):
                yield text


def spans(document: str) -> list[str]:
    """Return what a document sets in code type within its sentences."""
    text = (ROOT / document).read_text()
    text = "\n".join(line for line in text.splitlines() if not line.startswith("    "))
    return re.findall(r"`([^`\n]+)`", text)


def is_there(path: str) -> bool:
    """Say whether a path exists, from the root, from the sources, or below any package."""
    return any((folder / path).exists() for folder in (ROOT, SOURCE)) or any(SOURCE.glob(f"**/{path.rstrip('/')}"))


@pytest.mark.parametrize("document", DOCUMENTS)
def test_what_a_document_names_exists(document: str) -> None:
    missing = []
    for span in spans(document):
        if "<" in span or "*" in span or "NAME" in span or "FAMILY" in span:
            continue
        if PATH.fullmatch(span):
            there = is_there(span)
        elif MODULE.fullmatch(span):
            parts = span.split(".")[1:]
            place = SOURCE.joinpath(*parts)
            there = place.is_dir() or place.with_suffix(".py").is_file() or parts[-1] in known_identifiers()
        elif NAME.fullmatch(span.removesuffix("()")):
            there = span.removesuffix("()") in known_identifiers()
        else:
            continue
        if not there:
            missing.append(span)
    assert not missing, f"{document} names what is not there: {', '.join(missing)}"


def test_a_document_that_names_nothing_would_be_noticed() -> None:
    assert len(spans("docs/architecture.md")) > 50
    assert not is_there("adapters/nowhere.py")
    assert "no_function_has_this_name_at_all"[:-1] not in known_identifiers()
