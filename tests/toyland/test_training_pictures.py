"""Where training pictures come from: a file beside a CPU, the memory of a device; the same pictures either way."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from stand_in_world import SIDE, stand_in_world

from portraitist.errors import BadConfig
from portraitist.toyland import pictures
from portraitist.toyland.pictures import as_floats, describe, hold_pictures, open_pictures, write_pictures

WORLD = stand_in_world()


def test_pictures_on_disk_and_in_memory_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "_SHARD", 4)
    monkeypatch.setattr(pictures, "_PAINTED_AT_ONCE", 3)
    write_pictures(WORLD, tmp_path, 10, "train", 1, 3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images.npy", "settings.json", "texts.jsonl"]
    drawn, held = open_pictures(tmp_path), hold_pictures(WORLD, 10, "train", 1, 3, "cpu")
    assert drawn.captions == held.captions
    assert drawn.labels == held.labels
    assert {len(row) for row in drawn.captions} == {3}
    chosen, corners = np.array([7, 0, 3]), np.array([[0, 32], [5, 9], [30, 1]])
    for source in (drawn.pictures, held.pictures):
        assert len(source) == 10
        whole, crops = source.whole(chosen), source.crops(chosen, corners, 32)
        assert whole.shape == (3, 3, SIDE, SIDE)
        assert whole.is_contiguous(memory_format=torch.channels_last)
        for picture, crop, (top, left) in zip(whole, crops, corners, strict=True):
            assert torch.equal(picture[:, top : top + 32, left : left + 32], crop)
    assert torch.equal(drawn.pictures.whole(chosen), held.pictures.whole(chosen))
    floats = as_floats(drawn.pictures.whole(chosen))
    assert floats.min() >= -1
    assert floats.max() <= 1


def test_an_interrupted_drawing_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "_SHARD", 4)
    drawn: list[range] = []
    draw = pictures._draw

    def stop_after_one(*arguments: object) -> None:
        if len(drawn) == 1:
            raise KeyboardInterrupt
        drawn.append(arguments[-1])  # type: ignore[arg-type]
        draw(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(pictures, "_draw", stop_after_one)
    with pytest.raises(KeyboardInterrupt):
        write_pictures(WORLD, tmp_path, 10, "train", 1, 1)
    monkeypatch.setattr(pictures, "_draw", lambda *arguments: (drawn.append(arguments[-1]), draw(*arguments)))
    write_pictures(WORLD, tmp_path, 10, "train", 1, 1)
    assert drawn == [range(0, 4), range(4, 8), range(8, 10)]
    through = hold_pictures(WORLD, 10, "train", 1, 1, "cpu").pictures
    assert torch.equal(open_pictures(tmp_path).pictures.whole(np.arange(10)), through.whole(np.arange(10)))
    write_pictures(WORLD, tmp_path, 10, "train", 1, 1)
    assert len(drawn) == 3
    with pytest.raises(BadConfig, match="holds pictures drawn with other settings"):
        write_pictures(WORLD, tmp_path, 11, "train", 1, 1)


def test_other_processes_describe_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "_SHARD", 5)
    one, two = (hold_pictures(WORLD, 12, "train", 2, 2, "cpu", workers=workers) for workers in (1, 2))
    assert one.captions == two.captions
    assert torch.equal(one.pictures.whole(np.arange(12)), two.pictures.whole(np.arange(12)))


def test_the_first_caption_says_everything() -> None:
    described = describe(WORLD, "train", 3, 2, range(6))
    for (complete, _), labels in zip(described.captions, described.labels, strict=True):
        assert all(word in complete for word in labels.values())
    assert json.dumps(described.labels)
