"""What commands import: no command waits for a library that it does not use."""

import subprocess
import sys
from pathlib import Path

import pytest

FIXTURES = Path(__file__).parents[1] / "adapters" / "fixtures"
LORA = FIXTURES / "lora.safetensors"
HEAVY = ("torch", "diffusers", "transformers", "scipy", "numpy", "PIL")

_PROGRAM = """
import sys
from typer.testing import CliRunner
from portraitist.cli.main import app
result = CliRunner().invoke(app, sys.argv[2:])
assert result.exit_code == 0, result.output
print(*(name for name in sys.argv[1].split(",") if name in sys.modules))
"""


def imported_by(*arguments: object, of: tuple[str, ...] = HEAVY) -> list[str]:
    """Run a command in a process of its own, and return which libraries it imported."""
    command = [sys.executable, "-c", _PROGRAM, ",".join(of), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.parametrize("command", ["", "train", "generate", "edit", "identities"])
def test_help_imports_no_heavy_library(command: str) -> None:
    assert imported_by(*command.split(), "--help") == []


@pytest.mark.parametrize("arguments", [("methods",), ("recipes",), ("recipes", "sd/lora")])
def test_listings_import_no_heavy_library(arguments: tuple[str, ...]) -> None:
    assert imported_by(*arguments) == []


def test_an_adapter_is_inspected_with_torch_alone() -> None:
    """Its layers' shapes and what it draws from a seed are checked by the methods' formulas, which are torch's."""
    assert imported_by("inspect", LORA, of=("torch", "diffusers", "transformers")) == ["torch"]


def test_adapters_are_compared_without_libraries_of_bases(tmp_path: Path) -> None:
    arguments = ("similarity", LORA, FIXTURES / "krona.safetensors", "-o", tmp_path / "map.png")
    assert imported_by(*arguments, of=("torch", "diffusers", "transformers")) == ["torch"]
