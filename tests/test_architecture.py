"""The floors of docs/architecture.md: who may import whom, no circles, and how long a file may grow."""

import ast
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "portraitist"

# Top floor first; a package imports from packages further down this list only.
FLOORS = (
    "cli",
    "web",
    "studies",
    "requests",
    "hypernetworks",
    "toyland",
    "preparation",
    "training",
    "evaluation",
    "generation",
    "adapters",
    "bases",
)
STRANGERS = {("adapters", "bases")}
# Rooms of a package that import one way only, too, the top one first.
ROOMS = {"studies": ("experiments", "report", "pages", "runs", "grid", "makers")}
# Doors, and the requests they hand on, import what a command needs when it runs, so that --help is quick. Nobody else
# imports inside functions.
DOORS = ("cli", "web", "requests")
LONG_FILE = 400
TOO_LONG_FILE = 450


@dataclass(frozen=True)
class Import:
    """One imported name: where it stands and its full dotted path below ``portraitist``."""

    file: Path
    line: int
    target: tuple[str, ...]
    lazy: bool = False

    @property
    def module(self) -> str:
        """Return the importing module's path below ``portraitist``."""
        parts = self.file.with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def find_imports(source: Path) -> Iterator[Import]:
    """Yield every import of the project's own names, also those inside functions and those for type checkers."""
    for path in sorted(source.rglob("*.py")):
        here = ("portraitist", *path.relative_to(source).with_suffix("").parts)
        tree = ast.parse(path.read_text(encoding="utf-8"))
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        inside = {id(node) for function in functions for node in ast.walk(function)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                targets = [tuple(alias.name.split(".")) for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                start = here[: -node.level] if node.level else ()
                module = (*start, *(node.module.split(".") if node.module else ()))
                targets = [(*module, alias.name) for alias in node.names]
            else:
                continue
            for target in targets:
                if target[0] == "portraitist":
                    yield Import(path.relative_to(source), node.lineno, target[1:], id(node) in inside)


def find_circles(source: Path) -> set[frozenset[str]]:
    """Return the sets of modules that import each other in a circle, the package's face, which shows all, left out."""
    files = (path.relative_to(source).with_suffix("").parts for path in source.rglob("*.py"))
    modules = {".".join(parts[:-1] if parts[-1] == "__init__" else parts) for parts in files} - {""}
    imported: dict[str, set[str]] = {module: set() for module in modules}
    for found in find_imports(source):
        ends = (".".join(found.target[:length]) for length in range(len(found.target), 0, -1))
        target = next((end for end in ends if end in modules), None)
        if found.module in modules and target not in (None, found.module):
            imported[found.module].add(str(target))
    reached = {module: reachable(imported, module) for module in modules}
    return {
        frozenset(other for other in reached[module] if module in reached[other])
        for module in modules
        if module in reached[module]
    }


def reachable(imported: dict[str, set[str]], start: str) -> set[str]:
    """Return the modules that one imports, directly or through others; itself only in a circle."""
    seen: set[str] = set()
    waiting = list(imported[start])
    while waiting:
        module = waiting.pop()
        if module not in seen:
            seen.add(module)
            waiting += imported[module]
    return seen


def find_lazy_imports(source: Path) -> set[str]:
    """Return the modules other than doors that import others of the project inside functions."""
    return {found.module for found in find_imports(source) if found.lazy and found.file.parts[0] not in DOORS}


def find_violations(source: Path) -> list[str]:
    """Return one line for every import that goes up, between strangers, or to a private name of another package."""
    shared = {path.stem for path in source.glob("*.py")} - {"__init__", "__main__"}
    violations = []
    for found in find_imports(source):
        place = f"{found.file}:{found.line} imports portraitist.{'.'.join(found.target)}"
        origin = found.file.parts[0] if len(found.file.parts) > 1 else None
        goal = found.target[0] if found.target else "__init__"
        if origin is None and found.file.name in ("__init__.py", "__main__.py"):
            continue  # the package's two faces show names of every floor
        if origin != goal and any(name.startswith("_") and not name.endswith("__") for name in found.target):
            violations.append(f"{place}: private to {goal}")
        if goal in shared or goal == origin or goal == "__version__":
            continue
        if origin is None:
            violations.append(f"{place}: modules beside the packages know no package")
        elif goal not in FLOORS:
            violations.append(f"{place}: {goal} has no floor")
        elif (origin, goal) in STRANGERS:
            violations.append(f"{place}: these two do not know each other")
        elif FLOORS.index(goal) < FLOORS.index(origin):
            violations.append(f"{place}: upwards")
    return violations


def test_imports_go_downwards() -> None:
    assert find_violations(SOURCE) == []


@pytest.mark.parametrize("package", ROOMS)
def test_rooms_import_one_way(package: str) -> None:
    rooms = ROOMS[package]
    assert {path.name for path in (SOURCE / package).iterdir() if any(path.glob("*.py"))} == set(rooms)
    places = [(found, found.file.parts, found.target) for found in find_imports(SOURCE)]
    inside = [each for each in places if each[1][0] == package and len(each[1]) > 2 and each[2][:1] == (package,)]
    upwards = [
        f"{found.file}:{found.line}" for found, one, other in inside if rooms.index(one[1]) > rooms.index(other[1])
    ]
    assert upwards == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert find_circles(SOURCE) == set()


def test_only_doors_import_inside_functions() -> None:
    assert find_lazy_imports(SOURCE) == set()


@pytest.mark.parametrize(
    "statement",
    [
        "from portraitist.adapters.second import name",
        "from portraitist.adapters import second",
        "import portraitist.adapters.second",
        "from .second import name",
        "def load():\n    from portraitist.adapters.second import name",
        "if TYPE_CHECKING:\n    from portraitist.adapters.third import name",
    ],
)
def test_a_circle_is_found(tmp_path: Path, statement: str) -> None:
    folder = tmp_path / "adapters"
    folder.mkdir()
    (folder / "__init__.py").write_text("from portraitist.adapters.first import name\n")
    (folder / "first.py").write_text(statement + "\n")
    (folder / "second.py").write_text("from portraitist.adapters.third import name\n")
    (folder / "third.py").write_text("from portraitist.adapters.first import name\n")
    (circle,) = find_circles(tmp_path)
    assert {"adapters.first", "adapters.third"} <= circle <= {"adapters.first", "adapters.second", "adapters.third"}
    (folder / "third.py").write_text("")
    assert find_circles(tmp_path) == set()


def test_an_import_inside_a_function_is_found(tmp_path: Path) -> None:
    for file in ("cli/main.py", "adapters/files.py"):
        (tmp_path / file).parent.mkdir()
        (tmp_path / file).write_text("def load():\n    from portraitist.adapters.layer import Kind\n")
    assert find_lazy_imports(tmp_path) == {"adapters.files"}


def test_every_package_has_a_floor() -> None:
    packages = {path.name for path in SOURCE.iterdir() if path.is_dir() and any(path.glob("*.py"))}
    assert packages <= set(FLOORS)
    assert {"adapters", "bases", "training"} <= packages


def test_floors_are_those_of_the_documentation() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    picture = text.split("src/portraitist/\n", 1)[1].split("\n\n", 1)[0]
    names = [word.rstrip("/") for word in picture.split() if word.endswith("/")]
    assert names == list(FLOORS)


@pytest.mark.parametrize(
    ("file", "statement", "complaint"),
    [
        ("bases/base.py", "from portraitist.training import loop", "upwards"),
        ("bases/base.py", "import portraitist.training.loop", "upwards"),
        ("bases/base.py", "from portraitist import training", "upwards"),
        ("bases/families/sd.py", "from ...cli import main", "upwards"),
        ("bases/base.py", "def load():\n    from portraitist.adapters import Adapter", "upwards"),
        ("adapters/adapter.py", "from portraitist.bases import Base", "do not know each other"),
        ("training/loop.py", "from portraitist.adapters.files import _read", "private to adapters"),
        ("training/loop.py", "from portraitist.files import _umask", "private to files"),
        ("training/loop.py", "from portraitist.utils import helper", "has no floor"),
        ("errors.py", "from portraitist.bases import Base", "know no package"),
    ],
)
def test_a_wrong_import_is_found(tmp_path: Path, file: str, statement: str, complaint: str) -> None:
    for name in ("errors.py", "files.py", file):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / file).write_text(statement + "\n")
    violations = find_violations(tmp_path)
    assert len(violations) == 1
    assert complaint in violations[0]


@pytest.mark.parametrize(
    ("file", "statement"),
    [
        ("training/loop.py", "from portraitist.adapters import Adapter"),
        ("training/loop.py", "from portraitist.training.steps import _private"),
        ("cli/main.py", "from portraitist import __version__"),
        ("bases/base.py", "from portraitist.errors import BadConfig"),
        ("__init__.py", "from portraitist.training import train"),
    ],
)
def test_a_right_import_is_allowed(tmp_path: Path, file: str, statement: str) -> None:
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "errors.py").write_text("")
    (tmp_path / file).write_text(statement + "\n")
    assert find_violations(tmp_path) == []


@pytest.mark.parametrize("file", [path for path in SOURCE.rglob("*.py") if "\n_HOMES = {" in path.read_text()], ids=str)
def test_what_is_imported_late_is_what_the_types_say(file: Path) -> None:
    """A table of late imports holds names in strings; the imports for type checkers beside it are those of the test."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    assignments = [node for node in tree.body if isinstance(node, ast.Assign)]
    (table,) = [node.value for node in assignments if ast.unparse(node.targets[0]) == "_HOMES"]
    typed = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    imports = [node for block in typed for node in block.body if isinstance(node, ast.ImportFrom)]
    assert ast.literal_eval(table) == {alias.name: node.module for node in imports for alias in node.names}


def test_files_are_short_enough_to_read() -> None:
    lengths = {
        path.relative_to(ROOT): len(path.read_text(encoding="utf-8").splitlines())
        for folder in (SOURCE, ROOT / "tests")
        for path in folder.rglob("*.py")
    }
    for path, length in lengths.items():
        if length > LONG_FILE:
            warnings.warn(f"{path} has {length} lines; {LONG_FILE} are enough", stacklevel=1)
    assert {str(path): length for path, length in lengths.items() if length > TOO_LONG_FILE} == {}
