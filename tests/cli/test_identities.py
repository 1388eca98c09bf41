"""``portraitist identities``: flags reach the set, and it tells what it cost."""

from collections.abc import Callable
from pathlib import Path

import torch
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


def test_loras_share_a_factor_that_another_set_takes_over(run: Run, tiny_base_folder: Path) -> None:
    lora = ("--target", "lora", "--steps", 1, "--set", "layers=attention", "--set", "batch_size=1", "--bank-size", 2)
    command = ("identities", "toyland:people", "--photos", 2, *lora, "--base", tiny_base_folder)
    result = run(*command, "-o", "first", "--count", 2, "--alike", 1, "--learned-a", 2)
    assert "1 of them in the same scenes, poses and clothes" in result.stdout
    assert "lora, 1 steps, a factor A learned before in 2 steps, 2 at a time" in result.stdout
    run(*command, "-o", "second", "--count", 1, "--split", "test", "--a-of", "first")
    first, second = (IdentitySet.open(name) for name in ("first", "second"))
    layer, params = next(iter(second.targets(list(second)).values.items()))
    torch.testing.assert_close(params["down"][0], first.targets(list(first)).values[layer]["down"][1])
    assert "1 of each in the same scenes" in Path("first/README.md").read_text()


def test_wrong_words_are_one_line_and_leave_nothing(fail: Callable[..., str], tiny_base_folder: Path) -> None:
    assert "toyland has no kind 'dogs'" in fail("identities", "toyland:dogs", "-o", "set")
    assert "there is no encoder at nothing" in fail(
        "identities", "toyland", "-o", "set", "--encoders", "nothing", "--base", tiny_base_folder
    )
