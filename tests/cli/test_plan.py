"""``portraitist plan``."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

Run = Callable[..., Result]
Fail = Callable[..., str]


def test_a_plan_is_told_in_words(run: Run, photos: Path, tiny_base_folder: Path) -> None:
    settings = ("--set", "steps=50", "--set", "batch_size=2", "--set", "method_config.rank=2", "--base-bits", 8)
    lines = run("plan", photos, "--base", tiny_base_folder, *settings, "--device", "cpu").stdout.splitlines()
    facts = dict(line.split(maxsplit=1) for line in lines)
    assert facts["base"].endswith(" in float32")
    assert facts["steps"] == "50 with 2 photos each; each of the 5 is seen 20 times"
    assert facts["trained"].endswith(" parameters")
    assert facts["file"].endswith(" kB")
    assert facts["memory"].split()[1] in ("MB", "GB")


def test_without_flags_a_gpu_is_planned_for(run: Run, photos: Path) -> None:
    """Published recipes need no model: nothing that takes seconds is imported."""
    out = run("plan", photos, "--base", "sdxl").stdout
    facts = {line[:12].strip(): line[12:] for line in out.splitlines()}
    assert facts["base"].endswith(" in bfloat16")
    assert facts["24 GB"] == "enough"
    assert facts["12 GB"].startswith("enough with --set memory.offload=true")
    assert "--base-bits" in facts["8 GB"]
    assert "measured" in facts["a pass"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("nowhere",), "nowhere does not exist"),
        (("empty",), "no pictures in empty"),
        (("PHOTOS", "--base", "sd99"), "neither a folder here nor a hub id"),
        (("PHOTOS", "--base", "sd15", "--set", "stepz=3"), "did you mean steps?"),
        (("PHOTOS", "--base", "sd15", "--method", "lara"), "unknown method 'lara'"),
        (("PHOTOS", "--base", "sd15", "--base-bits", "3"), "8 or 4 bits, not in 3"),
        (("PHOTOS", "--base", "sd15", "--base-bits", "8", "--method", "svdiff"), "svdiff needs weights"),
        (("PHOTOS", "--base", "sd15", "--device", "abacus"), "no device 'abacus'"),
    ],
)
def test_what_cannot_be_planned_is_refused(
    fail: Fail, photos: Path, tmp_path: Path, arguments: tuple[str, ...], complaint: str
) -> None:
    (tmp_path / "empty").mkdir()
    given = [str(photos) if argument == "PHOTOS" else argument for argument in arguments]
    assert complaint in fail("plan", *given)
