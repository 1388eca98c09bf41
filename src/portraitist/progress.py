"""The one progress bar, and silence from libraries that would print over it."""

import logging
import os
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

console = Console(stderr=True)

_PLAIN_SECONDS = 30.0
# Libraries that talk, and the variable that says how much to those which are imported later.
_VERBOSITY = {
    "bitsandbytes": "",
    "diffusers": "DIFFUSERS_VERBOSITY",
    "huggingface_hub": "HF_HUB_VERBOSITY",
    "transformers": "TRANSFORMERS_VERBOSITY",
}

_BARS = "HF_HUB_DISABLE_PROGRESS_BARS"


class Track:
    """A running progress bar; on a stream that is no terminal, a plain line every half minute."""

    def __init__(
        self,
        progress: Progress | None,
        task: TaskID | None,
        description: str,
        total: int,
        done: int,
        hidden: bool = False,
    ) -> None:
        self._progress, self._task, self._hidden = progress, task, hidden
        self._description, self._total = description, total
        self._done = self._first = done
        self._started = self._spoken = time.monotonic()

    def advance(self, count: int = 1, **facts: float) -> None:
        """Move on by `count`; facts such as ``loss=0.1`` are shown beside the bar."""
        self._done += count
        elapsed = time.monotonic() - self._started
        rate = (self._done - self._first) / max(elapsed, 1e-9)
        shown = ", ".join([_rate(rate), *(f"{name} {value:.4g}" for name, value in facts.items())])
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=self._done, facts=shown)
        elif not self._hidden and time.monotonic() - self._spoken > _PLAIN_SECONDS:
            self._spoken = time.monotonic()
            left = (self._total - self._done) / max(rate, 1e-9)
            console.print(
                f"{self._description}: {self._done}/{self._total}, {shown}, {elapsed:.0f} s elapsed, {left:.0f} s left",
                highlight=False,
                markup=False,
                soft_wrap=True,
            )


def _rate(rate: float) -> str:
    return f"{rate:.1f}/s" if rate >= 1 else f"{1 / rate:.1f} s each" if rate > 0 else ""


@contextmanager
def track(total: int, description: str, completed: int = 0, hidden: bool = False) -> Iterator[Track]:
    """Show a progress bar with rate, elapsed and remaining time for the length of a ``with`` block.

    Args:
        total: How many steps there are.
        description: What is being done.
        completed: How many of them are done already; they do not count for the rate.
        hidden: Show nothing.
    """
    if hidden or not console.is_terminal:
        yield Track(None, None, description, total, completed, hidden)
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[facts]}"),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(description, total=total, completed=completed, facts="")
        yield Track(progress, task, description, total, completed)


def quiet_libraries() -> None:
    """Silence progress bars, advice and warnings of the libraries underneath; none of them is imported by this."""
    for library, variable in _VERBOSITY.items():
        logging.getLogger(library).setLevel(logging.ERROR)
        if variable:
            os.environ.setdefault(variable, "error")
    os.environ.setdefault(_BARS, "1")  # transformers reads it too
    warnings.filterwarnings("ignore", module=r"(torch|diffusers|transformers|accelerate|huggingface_hub)(\.|$)")


@contextmanager
def quietly() -> Iterator[None]:
    """Do what `quiet_libraries` does for a while, for callers who have not asked for silence."""
    loggers = [logging.getLogger(library) for library in _VERBOSITY]
    levels, environment = [logger.level for logger in loggers], dict(os.environ)
    try:
        with warnings.catch_warnings():
            quiet_libraries()
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        for name in (*filter(None, _VERBOSITY.values()), _BARS):
            if name not in environment:
                os.environ.pop(name, None)
