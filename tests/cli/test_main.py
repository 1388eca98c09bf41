"""The command as a whole: quick help, one line for every error."""

import os
from collections.abc import Callable

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from portraitist import __version__
from portraitist.cli.main import app
from portraitist.cli.reporting import Commands
from portraitist.errors import BadFile


def test_help_names_every_subcommand(run: Callable[..., Result]) -> None:
    output = run("--help").output
    for name in ("train", "generate", "inspect", "methods", "recipes", "demo", "toyland"):
        assert f" {name} " in output


@pytest.mark.parametrize("command", ["train", "generate", "inspect", "methods", "recipes", "demo", "toyland"])
def test_every_subcommand_has_help(run: Callable[..., Result], command: str) -> None:
    assert "Usage" in run(command, "--help").output


def test_version() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.output) == (0, f"portraitist {__version__}\n")


@pytest.mark.parametrize("arguments", [("--offline", "methods"), ("methods", "--offline")])
def test_nothing_is_fetched_when_asked(
    run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    run(*arguments)
    assert os.environ["HF_HUB_OFFLINE"] == "1"


def test_an_unknown_command_is_a_usage_error() -> None:
    result = CliRunner().invoke(app, ["trian"])
    assert result.exit_code == 2
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("raised", "line", "code"),
    [
        (BadFile("a file\nwith a line break"), "error: a file with a line break", 1),
        (OSError(28, "No space left on device", "/full/file"), "error: No space left on device (/full/file)", 1),
        (KeyboardInterrupt(), "error: interrupted", 130),
    ],
)
def test_an_error_is_one_line(raised: BaseException, line: str, code: int) -> None:
    broken = typer.Typer(cls=Commands)

    @broken.callback()
    def root() -> None:
        pass

    @broken.command()
    def work() -> None:
        raise raised

    result = CliRunner().invoke(broken, ["work"])
    assert (result.exit_code, result.stderr.strip()) == (code, line)


def test_a_programming_error_is_not_hidden() -> None:
    broken = typer.Typer(cls=Commands)

    @broken.callback()
    def root() -> None:
        pass

    @broken.command()
    def work() -> None:
        raise KeyError("a bug")

    assert isinstance(CliRunner().invoke(broken, ["work"]).exception, KeyError)
