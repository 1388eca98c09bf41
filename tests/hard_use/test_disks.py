"""Disks that fill up: one line, nothing half written, and what was learnt is there once there is room."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from portraitist.adapters import load_adapter, save_adapter
from portraitist.bases import Base
from portraitist.exchange.converting import convert
from portraitist.exchange.merging import merge_adapters, merge_into_base
from portraitist.generation import SamplingConfig, generate
from portraitist.requests.jobs.generate import _save

from .conftest import how_many
from .forks import Ending, in_fork, limit_files
from .mutating import drawn
from .test_kills import numbers, teach

pytestmark = pytest.mark.abuse

Work = Callable[[Path], object]


@pytest.fixture(scope="module")
def works(base: Base, tiny: object, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Work]:
    """Return what writes, by name."""
    source = tmp_path_factory.mktemp("source") / "lora.safetensors"
    adapter = drawn(tiny, "lora")  # type: ignore[arg-type]
    save_adapter(adapter, source)
    pictures = generate(base, ["a cat"] * 2, config=SamplingConfig(steps=1), show_progress=False)
    return {
        "save_adapter": lambda place: save_adapter(adapter, place / "a.safetensors"),
        "convert to kohya": lambda place: convert(source, place / "a.safetensors", "kohya"),
        "convert to peft": lambda place: convert(source, place / "peft", "peft"),
        "merge": lambda place: merge_adapters([source, source], place / "a.safetensors"),
        "merge into the base": lambda place: merge_into_base(base, {"a": (adapter, 1.0)}, place / "model"),
        "pictures": lambda place: _save(pictures, 2, place / "pictures"),
    }


def require_one_line(ended: Ending, place: Path, what: str) -> None:
    assert ended.how == "refused", (what, ended)
    assert "\n" not in ended.text, what
    assert "cannot write" in ended.text, (what, ended.text)
    assert "make room" in ended.text, (what, ended.text)
    left = [path for path in place.rglob("*") if path.is_file()]
    assert not [path for path in left if path.name.startswith(".")], (what, left)


def test_files_that_may_not_grow(works: dict[str, Work], tmp_path: Path) -> None:
    for what, work in works.items():
        for size in (0, 100, 1000)[: how_many("SIZES", 2)]:
            place = tmp_path / f"{what} {size}"
            place.mkdir()
            require_one_line(in_fork(lambda: work(place), prepare=lambda: limit_files(size)), place, what)  # noqa: B023


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a disk of 64 KB in memory, where one may be mounted."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("nothing may be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_disk_that_is_full(works: dict[str, Work], small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(64 * 1024))
    for what, work in works.items():
        require_one_line(in_fork(lambda: work(small_disk)), small_disk, what)  # noqa: B023
        assert [path.name for path in small_disk.iterdir() if path.is_file()] == ["ballast"], what


def test_a_training_on_a_full_disk_is_finished_when_there_is_room(base: Base, tmp_path: Path) -> None:
    assert in_fork(lambda: teach(base, tmp_path / "through")).how == "done"
    largest = max(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    expected = numbers(tmp_path / "through")
    steps = how_many("LIMITS", 3)
    for number in range(steps):
        place = tmp_path / str(number)
        limit = largest * number // steps
        ended = in_fork(lambda: teach(base, place), prepare=lambda: limit_files(limit))  # noqa: B023
        assert ended.how in ("done", "refused"), (limit, ended)
        if ended.how == "refused":
            assert "\n" not in ended.text
            assert not (place / "out" / "a.safetensors").exists()
            assert in_fork(lambda: teach(base, place, resume=True)).how == "done"  # noqa: B023
        found = numbers(place)
        assert all(torch.equal(value, found[name]) for name, value in expected.items())
        assert [path.name for path in (place / "out").iterdir()] == ["a.safetensors"]
        assert load_adapter(place / "out" / "a.safetensors").provenance.training["steps"] == 3
