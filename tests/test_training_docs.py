"""What docs/training.md tells people to add to a command is understood."""

import re
import shlex
from itertools import pairwise
from pathlib import Path

import pytest

from portraitist.cli.options import parse_settings
from portraitist.training.recipes import load_recipe

TEXT = (Path(__file__).parents[1] / "docs" / "training.md").read_text(encoding="utf-8")
LINES = [line.split("  #")[0].strip() for line in re.findall(r"^    (--set .*)$", TEXT, re.MULTILINE)]
NAMES = sorted(set(re.findall(r"`([a-z]+(?:[._][a-z_]+)+)=", TEXT)))


@pytest.mark.parametrize("line", LINES)
def test_settings_to_copy_are_a_recipe(line: str) -> None:
    words = shlex.split(line)
    pairs = [value for flag, value in pairwise(words) if flag == "--set"]
    assert len(pairs) == words.count("--set") > 0
    load_recipe("lora", "sd15", "sd", overrides=parse_settings(pairs))


def test_settings_named_in_the_text_exist() -> None:
    assert len(NAMES) > 2
    known = load_recipe("lora", "sd15", "sd").model_dump()
    for name in NAMES:
        place = known
        for part in name.split("."):
            assert part in place, name
            place = place[part]
