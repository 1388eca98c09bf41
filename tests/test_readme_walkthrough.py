"""The README from top to bottom: every block as it is printed, in a fresh clone, one shell after the other's commands.

Run by ``make readme``; ``README_SKIP="make test"`` leaves commands out that begin so.
"""

import os
import re
import shlex
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

from portraitist.units import in_time

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CLONED = "<this repository>"  # the one thing that is not printed as it is run
BLOCK = re.compile(r"^```(python)\n(.*?)^```|((?:^ {4}[^\n]*\n)+)", re.MULTILINE | re.DOTALL)
# Before each command its number and the time go into a file, so that a failure is known by the last one there.
SCRIPT = """set -e
now() {{ echo "$1 $(date +%s.%N)" >> {times}; }}
{commands}
now end
"""


def commands() -> list[str]:
    """Return what the blocks say, a Python block as one command."""
    found: list[str] = []
    for python, code, shell in BLOCK.findall(README):
        if python:
            found.append(f"python - <<'README'\n{code}README")
        else:
            lines = re.sub(r"\\\n\s*", "", shell).splitlines()
            found += [line.strip().replace(CLONED, shlex.quote(str(ROOT))) for line in lines if line.strip()]
    skipped = [start for start in os.environ.get("README_SKIP", "").split(",") if start]
    return [command for command in found if not command.startswith(tuple(skipped))] if skipped else found


def test_the_blocks_are_found() -> None:
    first, *_, last = commands()
    assert first.startswith("git clone ")
    assert last.startswith("python - <<")


@pytest.mark.walkthrough
def test_every_block_runs_as_it_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wanted, times, log = commands(), tmp_path / "times", tmp_path / "log"
    body = "\n".join(f"now {number}\n{command}" for number, command in enumerate(wanted))
    script = SCRIPT.format(times=shlex.quote(str(times)), commands=body)
    hidden = {"PYTHONPATH", "VIRTUAL_ENV", "HF_HUB_OFFLINE"}  # of the shell that runs the tests
    fresh = {name: value for name, value in os.environ.items() if name not in hidden}
    fresh["PORTRAITIST_CACHE"] = str(tmp_path / "cache")
    with log.open("wb") as output:
        done = subprocess.run(
            ["bash", "-c", script], cwd=tmp_path, env=fresh, stdout=output, stderr=subprocess.STDOUT, check=False
        )
    moments = [line.split() for line in times.read_text().splitlines()]
    lines = []
    for (number, began), (_, ended) in pairwise(moments):
        first, _, rest = wanted[int(number)].partition("\n")
        lines.append(f"{in_time(float(ended) - float(began)):>14}  {first}{' ...' if rest else ''}")
    lines.append(f"{in_time(float(moments[-1][1]) - float(moments[0][1])):>14}  altogether")
    with capsys.disabled():
        print("", *lines, f"what a newcomer sees is in {log}", sep="\n")
    said = log.read_text(encoding="utf-8", errors="replace")
    assert done.returncode == 0, f"{wanted[int(moments[-1][0])]}\n{said[-3000:]}"
