"""The progress bar on a terminal, plain lines elsewhere, and silence from libraries."""

import io
import logging
import re
import subprocess
import sys
import warnings
from types import SimpleNamespace

import pytest
from rich.console import Console

from portraitist import progress


def shown_on(monkeypatch: pytest.MonkeyPatch, terminal: bool) -> io.StringIO:
    """Redirect the console and return what it will show."""
    screen = io.StringIO()
    monkeypatch.setattr(progress, "console", Console(file=screen, force_terminal=terminal, width=120))
    return screen


def test_a_terminal_sees_a_bar_with_counts_facts_and_times(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = shown_on(monkeypatch, terminal=True)
    with progress.track(40, "teaching [sks]", completed=10) as track:
        for _ in range(30):
            track.advance(loss=0.125)
    last = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue()).splitlines()[-1]
    assert "teaching [sks]" in last
    assert "40/40" in last
    assert "loss 0.125" in last
    assert re.search(r"\d+:\d\d:\d\d left 0:00:00", last)
    assert "/s" in last


def test_a_log_file_gets_plain_lines_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = shown_on(monkeypatch, terminal=False)
    clock = iter(float(10 * tick) for tick in range(1000))
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    with progress.track(100, "teaching [sks]") as track:
        for _ in range(20):
            track.advance(loss=0.5)
    lines = screen.getvalue().splitlines()
    assert 2 <= len(lines) <= 10
    assert all(
        re.fullmatch(r"teaching \[sks\]: \d+/100, .+ loss 0.5, \d+ s elapsed, \d+ s left", line) for line in lines
    )
    assert "\x1b" not in screen.getvalue()


def test_short_work_says_nothing_in_a_log_file(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = shown_on(monkeypatch, terminal=False)
    with progress.track(3, "sampling") as track:
        track.advance(3)
    assert screen.getvalue() == ""


@pytest.mark.parametrize("terminal", [True, False])
def test_hidden_work_says_nothing(monkeypatch: pytest.MonkeyPatch, terminal: bool) -> None:
    screen = shown_on(monkeypatch, terminal)
    clock = iter(float(100 * tick) for tick in range(100))
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    with progress.track(3, "sampling", hidden=True) as track:
        track.advance()
        track.advance()
    assert screen.getvalue() == ""


def test_done_steps_do_not_count_for_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = shown_on(monkeypatch, terminal=False)
    clock = iter([0.0, *[100.0] * 10])
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    with progress.track(1000, "teaching", completed=500) as track:
        track.advance(50)
    assert screen.getvalue() == "teaching: 550/1000, 2.0 s each, 100 s elapsed, 900 s left\n"


def test_libraries_are_silenced() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        progress.quiet_libraries()
        warnings.warn_explicit("advice", UserWarning, "attention.py", 1, module="diffusers.models.attention")
        warnings.warn_explicit("ours", UserWarning, "main.py", 1, module="portraitist.cli.main")
    assert [str(warning.message) for warning in caught] == ["ours"]
    for library in ("diffusers", "transformers", "huggingface_hub", "bitsandbytes.backends.cpu.ops"):
        assert not logging.getLogger(library).isEnabledFor(logging.WARNING)


def test_libraries_are_silent_that_are_imported_later() -> None:
    program = (
        "import sys; from portraitist.progress import quiet_libraries; quiet_libraries();"
        "print('diffusers' in sys.modules, 'transformers' in sys.modules, 'huggingface_hub' in sys.modules);"
        "import diffusers, huggingface_hub, transformers;"
        "print(diffusers.utils.logging.get_verbosity() == diffusers.utils.logging.ERROR,"
        " transformers.logging.get_verbosity() == transformers.logging.ERROR,"
        " huggingface_hub.utils.are_progress_bars_disabled(), transformers.logging.is_progress_bar_enabled())"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.split() == [*["False"] * 3, *["True"] * 3, "False"]
