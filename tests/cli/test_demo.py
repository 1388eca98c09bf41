"""``portraitist demo``: picture, page and adapter from one command."""

import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

Run = Callable[..., Result]
Fail = Callable[..., str]


def test_the_demo_says_where_everything_is(run: Run, tiny_base_folder: Path, tmp_path: Path) -> None:
    quick = ("--base", tiny_base_folder, "--steps", 1, "--sampling-steps", 1)
    output = run("demo", *quick, "--subject", "robot-c05c64", "-o", "shown").stdout
    assert str(tmp_path / "shown" / "demo.webp") in output
    assert (tmp_path / "shown" / "demo.html").as_uri() in output
    assert sorted(path.name for path in Path("shown").iterdir()) == [
        "demo.html",
        "demo.webp",
        "robot-c05c64-lora.safetensors",
    ]
    command = next(line for line in output.splitlines() if "portraitist generate" in line)
    run(*shlex.split(command[command.index("generate") :]), "-n", 1, "--steps", 1)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--subject", "cat-1b7ece"), "did you mean cat-1b7ecd?"),
        (("--subject", "x"), "choose one of person-7da9ab"),
        (("--method", "lara"), "unknown method 'lara'"),
        (("--base", "nowhere"), "neither a folder here"),
        (("-o", "file/demo"), "cannot write into file/demo"),
    ],
)
def test_what_cannot_work_is_refused_in_one_line(
    fail: Fail, tiny_base_folder: Path, arguments: tuple[str, ...], complaint: str
) -> None:
    Path("file").touch()
    defaults = ("--base", tiny_base_folder) if "--base" not in arguments else ()
    assert complaint in fail("demo", *defaults, *arguments)
    shutil.rmtree("demo", ignore_errors=True)
