"""What every subcommand shares: one line for an error, a warning, a result."""

import os
import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.text import Text
from typer.core import TyperGroup

from portraitist.errors import PortraitistError
from portraitist.progress import console as error_console

if TYPE_CHECKING:
    from portraitist.requests.advice import Advice

_INTERRUPTED = 130  # what shells report for a program ended by Ctrl-C


OFFLINE = "--offline"


class Commands(TyperGroup):
    """A group of commands that shows an error a user is meant to read as one line, without a traceback."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Refuse what is no text before anything is parsed; ``--offline`` may stand behind the subcommand too."""
        for argument in args:
            try:
                argument.encode()
            except UnicodeEncodeError as error:
                fail(f"the argument {argument!r} is not valid UTF-8; type it again")
                raise typer.Exit(2) from error
        if OFFLINE in args and any(OFFLINE in parameter.opts for parameter in self.params):
            args = [OFFLINE, *(argument for argument in args if argument != OFFLINE)]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen subcommand; what it warns of is one line too, without the line of code that did."""
        try:
            with warnings.catch_warnings():
                warnings.showwarning = lambda message, *_, **__: warn(str(message))
                return super().invoke(ctx)
        except PortraitistError as error:
            fail(str(error))
            raise typer.Exit(1) from error
        except OSError as error:  # a disk that filled up, a folder taken away under our feet
            place = f" ({error.filename})" if error.filename else ""
            fail(f"{error.strerror or error}{place}")
            raise typer.Exit(1) from error
        except KeyboardInterrupt as error:
            fail("interrupted")
            raise typer.Exit(_INTERRUPTED) from error


# A file's text must not reach the terminal as commands to it.
_CONTROLS = dict.fromkeys((*range(9), *range(11, 32), *range(127, 160)), "\N{REPLACEMENT CHARACTER}")
# Nor may it show letters in another order than they have, or begin lines of its own.
_CONTROLS |= dict.fromkeys(
    (0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A)), "\N{REPLACEMENT CHARACTER}"
)


def fail(message: str) -> None:
    """Print an error in one line."""
    error_console.print(Text(f"error: {_line(message)}", style="red"), soft_wrap=True)


def warn(message: str) -> None:
    """Print a warning in one line."""
    if _speaks():
        error_console.print(Text(f"warning: {_line(message)}", style="yellow"), soft_wrap=True)


def advise(advice: Iterable["Advice"]) -> None:
    """Print pieces of advice, one line each."""
    for each in advice:
        if each.severity == "note":
            say(each.line, style="dim")
        else:
            warn(each.line)


def say(message: Any = "", style: str = "") -> None:
    """Print a result; long lines are left whole, so that paths and commands can be copied."""
    shown = Text(message.translate(_CONTROLS), style=style) if isinstance(message, str) else message
    if _speaks():
        Console().print(shown, soft_wrap=isinstance(message, str), highlight=False)


def fact(name: str, value: str) -> None:
    """Print a name and a value, aligned with the other facts."""
    shown = Text.assemble((f"{name:<12}", "dim"), value.translate(_CONTROLS | {ord("\n"): "\N{REPLACEMENT CHARACTER}"}))
    if _speaks():
        Console().print(shown, soft_wrap=True, highlight=False)


def _speaks() -> bool:
    """Say whether this process is the first of those launched together; one speaks for all."""
    return os.environ.get("RANK", "0") == "0"


def _line(message: str) -> str:
    return " ".join(message.split()).translate(_CONTROLS).encode(errors="replace").decode()
