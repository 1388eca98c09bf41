"""A file that is trained belongs to one run, and what a run could not write is written by the next try."""

import os
from errno import ENOSPC
from pathlib import Path
from typing import Any

import pytest
import torch

from portraitist.adapters import Adapter, load_adapter
from portraitist.bases import Base
from portraitist.bases.examples import get_example
from portraitist.errors import BadFile, InUse, UnwritableFolder
from portraitist.training.outputs import is_finished, is_interrupted, locked, run_folder
from portraitist.training.personalise import train
from portraitist.training.recipes import load_recipe
from portraitist.training.subjects import Subject

SUBJECT = Subject.from_folder(get_example("cat-1b7ecd").folder, "cat", size=32)


def teach(base: Base, output: Path, **options: Any) -> Adapter:
    settings = {"steps": 2, "prior": "none", "layers": "attention", "batch_size": 1, "class_prompt": "{x} a {}"}
    recipe = load_recipe("lora", "toyland", base.family.name, overrides=settings)
    return train(base, SUBJECT, recipe, output=output, **options)


def test_a_second_run_of_a_file_is_refused_while_the_first_goes_on(base: Base, tmp_path: Path) -> None:
    output = tmp_path / "a.safetensors"

    def second(step: int) -> None:
        with pytest.raises(
            InUse, match=r"a\.safetensors is in use by a training \(process .*; wait until .* another file with -o"
        ):
            teach(base, output, overwrite=True)

    teach(base, output, callbacks=[second])
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


def test_the_lock_of_a_killed_run_is_none(tmp_path: Path) -> None:
    output = tmp_path / "a.safetensors"
    child = os.fork()
    if child == 0:
        with locked(output):
            os._exit(0)
    os.waitpid(child, 0)
    assert list(run_folder(output).iterdir())
    with locked(output):
        pass
    assert not list(tmp_path.iterdir())


def test_a_file_that_appeared_meanwhile_is_not_replaced(base: Base, tmp_path: Path) -> None:
    output = tmp_path / "a.safetensors"
    with pytest.raises(BadFile, match=r"appeared while this run trained; the trained run is kept in .*\.run"):
        teach(base, output, callbacks=[lambda step: output.write_text("theirs") and None])
    assert output.read_text() == "theirs"
    output.unlink()
    teach(base, output, resume=True)
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


def test_a_disk_that_is_full_at_the_end_costs_no_training(
    base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill_up(*_: object, **__: object) -> None:
        raise OSError(ENOSPC, "No space left on device")

    through = teach(base, tmp_path / "through.safetensors")
    output, steps = tmp_path / "a.safetensors", []
    with monkeypatch.context() as patch:
        patch.setattr("portraitist.adapters.files.save_file", fill_up)
        with pytest.raises(UnwritableFolder, match=r"No space left on device; make room.*--resume writes the file"):
            teach(base, output)
    assert is_interrupted(output)
    resumed = teach(base, output, resume=True, callbacks=[steps.append])
    assert not steps, "all steps were taken before"
    for name, value in through.named_parameters().items():
        assert torch.equal(value, resumed.named_parameters()[name])


def test_a_run_that_was_killed_before_it_cleaned_up_is_finished(
    base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "a.safetensors"
    with monkeypatch.context() as patch:
        patch.setattr("portraitist.training.fitting.remove_run", lambda output, keep_log: None)
        trained = teach(base, output)
    assert is_finished(output)
    for folder in (run_folder(output), tmp_path):
        (folder / ".last.safetensors.part-00000000-1-1-x.safetensors").touch()
        os.utime(folder / ".last.safetensors.part-00000000-1-1-x.safetensors", (0, 0))
    with pytest.raises(BadFile, match="exists already"):
        teach(base, output)
    again = teach(base, output, resume=True, callbacks=[lambda step: pytest.fail("trained again")])
    assert all(torch.equal(value, again.named_parameters()[key]) for key, value in trained.named_parameters().items())
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]
    assert load_adapter(output).provenance.training["steps"] == 2
    assert not is_finished(output)
