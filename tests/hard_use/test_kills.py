"""Trainings that are killed, at random and before every change of the disk, are finished by resuming, bit for bit."""

import os
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from comparing import TinyPipeline

from portraitist.adapters import load_adapter
from portraitist.bases import Base
from portraitist.bases.examples import get_example
from portraitist.exchange.exporting import export
from portraitist.exchange.loading import load_any
from portraitist.files import remove_leftovers
from portraitist.training import fitting
from portraitist.training.loop.checkpoints import Checkpoint
from portraitist.training.loop.files import LAST
from portraitist.training.outputs import run_folder
from portraitist.training.personalise import train
from portraitist.training.recipes import Recipe, load_recipe
from portraitist.training.subjects import Subject

from .conftest import how_many
from .counting import times_table
from .forks import Ending, at_write, die_at_size, in_fork, kill_self
from .mutating import drawn

pytestmark = pytest.mark.abuse

SUBJECT = Subject.from_folder(get_example("cat-1b7ecd").folder, "cat", size=32)
_CHECKPOINT = {"log_every": 1, "checkpoint_seconds": 0.0}


def recipe(base: Base) -> Recipe:
    settings = {"steps": 3, "batch_size": 1, "layers": "attention", "prior": "generated", "prior_images": 2}
    return load_recipe("lora", "toyland", base.family.name, overrides={**settings, "average_decay": 0.9})


def teach(base: Base, folder: Path, resume: bool = False) -> None:
    """Train into a folder with a cache of its own, writing a checkpoint after every step."""
    os.environ["PORTRAITIST_CACHE"] = str(folder / "cache")
    settings = fitting.loop_config(recipe(base), base)
    fitting.loop_config = lambda *_: type(settings)(**{**vars(settings), **_CHECKPOINT})  # this is a fork
    train(base, SUBJECT, recipe(base), output=folder / "out" / "a.safetensors", resume=resume)


def numbers(folder: Path) -> dict[str, torch.Tensor]:
    return dict(load_adapter(folder / "out" / "a.safetensors").named_parameters())


@pytest.fixture(scope="module")
def through(base: Base, tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    """Return what a run that nobody disturbs learns."""
    folder = tmp_path_factory.mktemp("through")
    assert in_fork(lambda: teach(base, folder)) == Ending("done")
    return numbers(folder)


def judge(base: Base, folder: Path, through: dict[str, torch.Tensor], ended: Ending) -> str:
    """Say what a killed run left, and what resuming makes of it."""
    output = folder / "out" / "a.safetensors"
    if ended.how not in ("done", "killed"):
        return f"ended otherwise: {ended}"
    for file in [output, *run_folder(output).glob("[!.]*.safetensors")]:
        if file.exists():
            load_adapter(file) if file == output else Checkpoint.load(file)  # raises if it is half a file
    had = "with a checkpoint" if (run_folder(output) / LAST).exists() else "before a checkpoint"
    if output.exists():
        had = "after the file"
    if ended.how == "killed" or run_folder(output).exists():
        finished = output.exists() and not run_folder(output).exists()
        again = Ending("done") if finished else in_fork(lambda: teach(base, folder, resume=True))
        if again.how != "done":
            return f"not resumed: {again}"
    found = numbers(folder)
    if not all(torch.equal(value, found[name]) for name, value in through.items()):
        return "something else was learnt"
    remove_leftovers(folder / "out")  # as the next run does
    left = sorted(str(path.relative_to(folder / "out")) for path in (folder / "out").rglob("*"))
    return f"killed {had}" if left == ["a.safetensors"] else f"left behind: {left}"


def try_all(
    base: Base, through: dict[str, torch.Tensor], kills: list[Callable[[Path], object]], seconds: list[float]
) -> Counter[str]:
    found: Counter[str] = Counter()
    for prepare, patience in zip(kills, seconds, strict=True):
        folder = Path(tempfile.mkdtemp())
        try:
            ended = in_fork(lambda: teach(base, folder), patience, lambda: prepare(folder))  # noqa: B023 - called at once
            found[judge(base, folder, through, Ending("killed") if ended.how == "slow" else ended)] += 1
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return found


def test_kills_before_every_change_of_the_disk(
    base: Base, through: dict[str, torch.Tensor], report: Callable[[str, str], None], tmp_path: Path
) -> None:
    def count() -> None:
        changes = at_write(-1, tmp_path, lambda: None)
        teach(base, tmp_path)
        (tmp_path / "changes").write_text(str(changes()))

    assert in_fork(count).how == "done"
    changes = int((tmp_path / "changes").read_text())
    points = [round(step * changes / how_many("POINTS", 6)) for step in range(how_many("POINTS", 6))]
    points = sorted({*points} if how_many("POINTS", 6) < changes else range(changes))
    kills = [lambda folder, point=point: at_write(point, folder, kill_self) for point in points]
    found = try_all(base, through, kills, [60.0] * len(kills))
    report(f"Kills at {len(points)} of {changes} changes of the disk", times_table("run", found))
    assert all(what.startswith("killed") for what in found), found


def test_kills_in_the_middle_of_a_file(
    base: Base, through: dict[str, torch.Tensor], report: Callable[[str, str], None]
) -> None:
    sizes = (10_000, 200_000)  # more than what the cache is filled with, less than a checkpoint has
    found = try_all(base, through, [lambda folder, size=size: die_at_size(size) for size in sizes], [60.0] * len(sizes))
    report(f"Kills in the middle of {len(sizes)} files", times_table("run", found))
    assert found == {"killed before a checkpoint": len(sizes)}


def test_kills_at_random(
    base: Base, through: dict[str, torch.Tensor], report: Callable[[str, str], None], tmp_path: Path
) -> None:
    began = time.monotonic()
    assert in_fork(lambda: teach(base, tmp_path)).how == "done"
    whole = time.monotonic() - began
    rng = random.Random(0)
    kills = how_many("KILLS", 3)
    found = try_all(base, through, [lambda folder: None] * kills, [whole * rng.random() for _ in range(kills)])
    report(f"Kills at {kills} random moments", times_table("run", found))
    assert all(what.startswith("killed") for what in found), found


def test_kills_of_a_conversion(tiny: TinyPipeline, report: Callable[[str, str], None], tmp_path: Path) -> None:
    adapter = drawn(tiny, "lora")

    def count() -> None:
        changes = at_write(-1, tmp_path, lambda: None)
        export(adapter, tmp_path / "first", "peft")
        (tmp_path / "changes").write_text(str(changes()))

    assert in_fork(count).how == "done"
    changes = int((tmp_path / "changes").read_text())
    found: Counter[str] = Counter()
    for point in range(changes):
        place = tmp_path / str(point)
        place.mkdir()
        prepare = lambda place=place, point=point: at_write(point, place, kill_self)  # noqa: E731
        in_fork(lambda: export(adapter, place / "peft", "peft"), prepare=prepare)  # noqa: B023
        found["the whole folder" if (place / "peft").exists() else "nothing"] += 1
        if (place / "peft").exists():
            assert load_any(place / "peft").layers.keys() == adapter.layers.keys()
        assert in_fork(lambda: export(adapter, place / "peft", "peft")).how == "done"  # noqa: B023
        assert load_any(place / "peft").layers.keys() == adapter.layers.keys()
        assert [path.name for path in place.iterdir()] == ["peft"]
    report(f"Kills at all {changes} changes of the disk by a conversion", times_table("run", found))
