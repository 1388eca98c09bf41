"""Data sets on disk: complete, repeatable, continued after an interruption."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from portraitist.errors import BadConfig
from portraitist.randomness import numpy_generator
from portraitist.toyland.first.world import dataset
from portraitist.toyland.first.world.dataset import load_dataset, write_dataset
from portraitist.toyland.first.world.pictures import PictureSpec, render, sample_picture


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset, "SHARD", 4)


def test_what_is_written_is_what_was_drawn(tmp_path: Path) -> None:
    write_dataset(tmp_path, 10, "validation", seed=3, captions=3)
    data = load_dataset(tmp_path)
    assert data.images.shape == (10, 64, 64, 3)
    assert data.images.dtype == np.uint8
    assert [len(texts) for texts in data.captions] == [3] * 10
    assert len(data.labels) == 10
    spec = sample_picture(numpy_generator(3, "validation", 7), "validation")
    np.testing.assert_array_equal(data.images[7], np.asarray(render(spec)))
    assert data.labels[7]["scene"] == spec.scene
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images.npy", "settings.json", "texts.jsonl"]


def test_an_interrupted_run_continues_to_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_dataset(tmp_path / "whole", 10, "train", seed=4)
    drawn: list[PictureSpec] = []

    def fail_late(spec: PictureSpec, size: int) -> Image.Image:
        drawn.append(spec)
        if len(drawn) == 7:
            raise KeyboardInterrupt
        return render(spec, size)

    monkeypatch.setattr(dataset, "render", fail_late)
    with pytest.raises(KeyboardInterrupt):
        write_dataset(tmp_path / "broken", 10, "train", seed=4)
    assert not (tmp_path / "broken" / "images.npy").exists()
    write_dataset(tmp_path / "broken", 10, "train", seed=4)
    # Four pictures of the finished shard are not drawn again.
    assert len(drawn) == 7 + 6
    for name in ("images.npy", "texts.jsonl"):
        assert (tmp_path / "broken" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_finished_data_set_is_left_alone(tmp_path: Path) -> None:
    write_dataset(tmp_path, 4, "test", seed=5)
    before = (tmp_path / "images.npy").stat().st_mtime_ns
    write_dataset(tmp_path, 4, "test", seed=5)
    assert (tmp_path / "images.npy").stat().st_mtime_ns == before


def test_a_folder_with_something_else_is_refused(tmp_path: Path) -> None:
    write_dataset(tmp_path, 4, "test", seed=5)
    with pytest.raises(BadConfig, match="other settings"):
        write_dataset(tmp_path, 4, "test", seed=6)


def test_several_processes_draw_the_same(tmp_path: Path) -> None:
    write_dataset(tmp_path / "one", 6, "train", seed=6, size=32)
    write_dataset(tmp_path / "two", 6, "train", seed=6, size=32, workers=2)
    np.testing.assert_array_equal(load_dataset(tmp_path / "one").images, load_dataset(tmp_path / "two").images)
