"""``portraitist identities``: flags reach the set, and it tells what it cost."""

from collections.abc import Callable
from pathlib import Path

from click.testing import Result

from portraitist.hypernetworks.identities.identity_set import IdentitySet

Run = Callable[..., Result]


def test_flags_reach_the_set(run: Run, tiny_base_folder: Path) -> None:
    flags = ("--kinds", "people,robots", "--count", 2, "--photos", 2, "--encoders", "toyland-clip,toyland-dino")
    result = run("identities", "toyland:all", "-o", "set", *flags, "--split", "validation", "--base", tiny_base_folder)
    made = IdentitySet.open("set")
    assert made.kinds == {"robot": 1, "person": 1}
    assert [encoder.name for encoder in made.settings.encoders] == ["toyland-clip", "toyland-dino"]
    assert len(made.part("validation")) == 2
    assert "2 of 2, 4 photos; 2 without flags" in result.stdout
    assert "identities an hour" in result.stdout
    assert "15,000 identities would take" in result.stdout


def test_an_unfinished_set_says_how_it_goes_on(run: Run, tiny_base_folder: Path) -> None:
    command = ("identities", "toyland:cats", "-o", "set", "--count", 2, "--photos", 1, "--base", tiny_base_folder)
    result = run(*command, "--minutes", 1e-9)
    assert "set is not finished; the same command continues it" in result.stderr
    assert "use --photos 2 or more" in result.stderr
    assert "2 of 2" in run(*command).stdout


def test_wrong_words_are_one_line_and_leave_nothing(fail: Callable[..., str], tiny_base_folder: Path) -> None:
    assert "toyland has no kind 'dogs'" in fail("identities", "toyland:dogs", "-o", "set")
    assert "there is no encoder at nothing" in fail(
        "identities", "toyland", "-o", "set", "--encoders", "nothing", "--base", tiny_base_folder
    )
