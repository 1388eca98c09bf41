"""Running the command line in a test, and an adapter made by it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from portraitist.adapters import Adapter, save_adapter
from portraitist.bases import Base, load_base
from portraitist.bases.examples import get_example
from portraitist.cli.main import app

Run = Callable[..., Result]


def run_command(*arguments: object) -> Result:
    """Run a command in this process, with a terminal wide enough for any line."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "200"})


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run commands inside an empty folder; a command that is to succeed must."""
    monkeypatch.chdir(tmp_path)

    def succeed(*arguments: object) -> Result:
        result = run_command(*arguments)
        assert result.exit_code == 0, result.output
        return result

    return succeed


@pytest.fixture
def fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Run commands that must fail and leave nothing behind, and return their one line of error."""
    monkeypatch.chdir(tmp_path)

    def refuse(*arguments: object) -> str:
        before = set(tmp_path.rglob("*"))
        result = run_command(*arguments)
        assert set(tmp_path.rglob("*")) <= before
        assert result.exit_code == 1, result.output
        errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1, result.output
        assert result.stderr.rstrip().endswith(errors[0]), "the error must be the last that is said"
        return errors[0]

    return refuse


@pytest.fixture(scope="session")
def photos() -> Path:
    return get_example("cat-1b7ecd").folder


@pytest.fixture(scope="session")
def trained(tiny_base_folder: Path, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an adapter for the tiny base, trained so hard that it changes every picture."""
    file = tmp_path_factory.mktemp("trained") / "cat.safetensors"
    settings = ("--steps", 3, "--learning-rate", 0.05)
    result = run_command("train", photos, "--class", "cat", "--base", tiny_base_folder, *settings, "-o", file)
    assert result.exit_code == 0, result.output
    return file


@pytest.fixture(scope="session")
def base(tiny_base_folder: Path) -> Base:
    return load_base(tiny_base_folder)


@pytest.fixture
def write_adapter(base: Base, draw_adapter: Callable[..., Adapter]) -> Callable[..., Path]:
    """Return a function that writes a random adapter for the tiny base into the current folder."""

    def write(name: str, method: str, patterns: tuple[str, ...], **config: object) -> Path:
        adapter = draw_adapter(base.components, method, patterns, **config)
        made_for = {"name": base.name, "family": base.family.name, "fingerprint": base.fingerprint}
        adapter.provenance.facts |= {"base": made_for, "trigger": f"{name} cat"}
        save_adapter(adapter, f"{name}.safetensors")
        return Path(f"{name}.safetensors")

    return write


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "one.png"
    Image.effect_mandelbrot((64, 64), (-2, -1.5, 1, 1.5), 50).convert("RGB").save(path)
    return path
