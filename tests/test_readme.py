"""What the README says runs, and names everything there is."""

import re
from pathlib import Path
from typing import Any

import pytest
import typer

from portraitist.adapters import list_methods
from portraitist.bases.examples import get_example
from portraitist.cli.main import app
from portraitist.training import personalise

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_the_python_example_runs(tiny_base_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len([line for line in example.splitlines() if line]) <= 10
    example = example.replace('"toyland"', repr(str(tiny_base_folder)))
    (named,) = re.findall(r"photos/([\w-]+)", example)
    example = example.replace(f'"photos/{named}"', repr(str(get_example(named).folder)))
    load_recipe = personalise.load_recipe

    def quick(*arguments: Any) -> Any:
        return load_recipe(*arguments, overrides={"steps": 2})

    monkeypatch.setattr(personalise, "load_recipe", quick)
    monkeypatch.chdir(tmp_path)
    exec(compile(example, "README.md", "exec"), {})
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["cat.safetensors", *(f"space-{seed}.png" for seed in range(4))]


def test_every_command_and_method_is_named() -> None:
    for name in typer.main.get_command(app).commands:  # type: ignore[attr-defined]
        assert re.search(rf"^\| .*`{name}`.* \|", README, re.MULTILINE), name
    for method in list_methods():
        assert f"| `{method.name}` |" in README, method.name


def test_the_commands_of_the_makefile_are_those_named() -> None:
    makefile = (Path(__file__).parents[1] / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"make (\w+)", README):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
