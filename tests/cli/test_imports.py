"""What commands import: no command waits for a library that it does not use."""

import subprocess
import sys
from pathlib import Path

import pytest

from portraitist.bases.examples import get_example

FIXTURES = Path(__file__).parents[1] / "adapters" / "fixtures"
LORA = FIXTURES / "lora.safetensors"
HEAVY = ("torch", "diffusers", "transformers", "scipy", "numpy", "PIL")

_PROGRAM = """
import sys
from typer.testing import CliRunner
from portraitist.cli.main import app
result = CliRunner().invoke(app, sys.argv[3:])
assert result.exit_code == int(sys.argv[2]), result.output
print(*(name for name in sys.argv[1].split(",") if name in sys.modules))
"""


def imported_by(*arguments: object, of: tuple[str, ...] = HEAVY, status: int = 0) -> list[str]:
    """Run a command in a process of its own, and return which libraries it imported."""
    command = [sys.executable, "-c", _PROGRAM, ",".join(of), str(status), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.parametrize("command", ["", "train", "generate", "edit", "identities"])
def test_help_imports_no_heavy_library(command: str) -> None:
    assert imported_by(*command.split(), "--help") == []


@pytest.mark.parametrize("arguments", [("methods",), ("recipes",), ("recipes", "sd/lora")])
def test_listings_import_no_heavy_library(arguments: tuple[str, ...]) -> None:
    assert imported_by(*arguments) == []


@pytest.mark.parametrize("name", ["lora", "krona-bfloat16", "svdiff", "full", "textual-inversion+lora", "model"])
def test_an_adapter_is_inspected_without_torch(name: str) -> None:
    assert imported_by("inspect", FIXTURES / f"{name}.safetensors") == ["numpy", "PIL"]


@pytest.mark.parametrize("base", ["sd15", "sdxl", "flux"])
def test_an_adapter_is_counted_without_torch(base: str) -> None:
    assert set(imported_by("count", "--method", "lora", "--base", base)) <= {"numpy"}


@pytest.mark.parametrize(
    "wrong",
    [
        ("--set", "stepz=3"),
        ("--method", "lara"),
        ("--token", "two words"),
        ("--resolution", "500", "--base", "x.safetensors"),
        ("--resolution", "70"),
        ("--base", "nowhere/at-all"),
        ("--base-bits", "3"),
        ("--device", "abacus"),
        ("-o", "a.ckpt"),
    ],
)
def test_a_run_that_cannot_work_is_refused_without_torch(wrong: tuple[str, ...]) -> None:
    assert set(imported_by("train", FIXTURES, "--class", "cat", *wrong, status=1)) <= {"numpy"}


@pytest.mark.parametrize("wrong", [("--adapter", "nowhere.safetensors"), ("--steps", "0"), ("--resolution", "501")])
def test_pictures_that_cannot_be_made_are_refused_without_torch(wrong: tuple[str, ...]) -> None:
    assert set(imported_by("generate", "a cat", *wrong, status=1)) <= {"numpy"}


def test_photos_are_prepared_without_libraries_of_bases(tmp_path: Path) -> None:
    photos = get_example("cat-df771e").folder
    arguments = ("prepare", photos, "-o", tmp_path / "ready", "--size", 64)
    unneeded = ("torch._dynamo", "diffusers", "transformers", "peft", "bitsandbytes")
    assert imported_by(*arguments, of=unneeded) == []


def test_an_adapter_that_draws_numbers_is_inspected_with_torch_alone() -> None:
    """What it draws from a seed is compared with what the machine drew that wrote it."""
    assert imported_by("inspect", FIXTURES / "lidb.safetensors", of=("torch", "diffusers")) == ["torch"]


def test_adapters_are_compared_without_libraries_of_bases(tmp_path: Path) -> None:
    arguments = ("similarity", LORA, FIXTURES / "krona.safetensors", "-o", tmp_path / "map.png")
    assert imported_by(*arguments, of=("torch", "diffusers", "transformers")) == ["torch"]
