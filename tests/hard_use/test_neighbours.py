"""Processes that work in one place at once: each keeps what is its own, and one of two with one output is refused."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from portraitist.adapters import load_adapter
from portraitist.bases import Base
from portraitist.generation import SamplingConfig, generate
from portraitist.requests.jobs.generate import _save
from portraitist.training.personalise import train

from .conftest import how_many
from .forks import in_fork
from .test_kills import SUBJECT, numbers, recipe, teach

pytestmark = pytest.mark.abuse


def at_once(works: list[Callable[[], str]], folder: Path) -> list[str]:
    """Run works in forks of their own, all let go at the same moment; return how each ended."""
    gate, opener = os.pipe()
    children = []
    for number, work in enumerate(works):
        if (child := os.fork()) == 0:
            os.close(opener)
            os.read(gate, 1)  # until the gate is opened for all
            (folder / f"ending-{number}").write_text(work())
            os._exit(0)
        children.append(child)
    os.close(opener)
    for child in children:
        os.waitpid(child, 0)
    os.close(gate)
    return [(folder / f"ending-{number}").read_text() for number in range(len(works))]


def test_two_trainings_to_one_output(base: Base, tmp_path: Path) -> None:
    assert in_fork(lambda: teach(base, tmp_path / "through")).how == "done"
    expected = numbers(tmp_path / "through")
    for turn in range(how_many("NEIGHBOURS", 1)):
        place = tmp_path / str(turn)
        place.mkdir()
        work = lambda place=place: repr(in_fork(lambda: teach(base, place)))  # noqa: E731
        endings = at_once([work] * 3, place)
        done = [ending for ending in endings if "how='done'" in ending]
        refused = [each for each in endings if "is in use by a training" in each or "exists already" in each]
        assert len(done) == 1, endings
        assert len(refused) == 2, endings
        found = numbers(place)
        assert all(torch.equal(value, found[name]) for name, value in expected.items())
        assert [path.name for path in (place / "out").iterdir()] == ["a.safetensors"]


def test_an_empty_cache_is_filled_by_several(base: Base, tmp_path: Path) -> None:
    os.environ["PORTRAITIST_CACHE"], before = str(tmp_path / "cache"), os.environ["PORTRAITIST_CACHE"]
    try:
        works = [
            lambda name=name: in_fork(lambda: train(base, SUBJECT, recipe(base), output=tmp_path / name)).how
            for name in ("a.safetensors", "b.safetensors", "c.safetensors")
        ]
        assert at_once(works, tmp_path) == ["done"] * 3
    finally:
        os.environ["PORTRAITIST_CACHE"] = before
    one, *others = (load_adapter(tmp_path / f"{name}.safetensors").named_parameters() for name in "abc")
    assert all(torch.equal(value, other[name]) for name, value in one.items() for other in others)
    assert not [path for path in (tmp_path / "cache").rglob(".*")]


def test_pictures_into_one_folder(base: Base, tmp_path: Path) -> None:
    pictures = generate(base, ["a cat"] * 3, config=SamplingConfig(steps=1), show_progress=False)
    for turn in range(how_many("NEIGHBOURS", 1)):
        place = tmp_path / str(turn)
        place.mkdir()
        work = lambda place=place: str(len(_save(pictures, 3, place / "pictures").pictures))  # noqa: E731
        assert at_once([work] * 6, place) == ["3"] * 6
        assert len(list((place / "pictures").iterdir())) == 6 * 4
