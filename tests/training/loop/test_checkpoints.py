"""A checkpoint is continued from only if it is as it was written, and whole."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from portraitist.errors import BadFile
from portraitist.training.loop.checkpoints import Checkpoint, whole


@pytest.fixture
def path(tmp_path: Path) -> Path:
    parts = {"parameters": {"w": torch.ones(3)}, "average": {}, "optimizer": {"w.exp_avg": torch.ones(3)}}
    Checkpoint(step=2, counters={"seconds": 1.0}, identity={"task": {}}, **parts).save(tmp_path / "last.safetensors")
    return tmp_path / "last.safetensors"


def rewrite(path: Path, change: Callable[[dict[str, Tensor], dict[str, Any], dict[str, str]], object]) -> None:
    with safe_open(path, "pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    header = json.loads(metadata["run"])
    change(tensors, header, metadata)
    save_file(tensors, path, metadata={**metadata, "run": json.dumps(header)})


def test_one_flipped_bit_is_seen(path: Path) -> None:
    assert Checkpoint.load(path).step == 2
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(content)
    with pytest.raises(BadFile, match=r"its content is not what was written.*; delete it to start over"):
        Checkpoint.load(path)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda tensors, header, metadata: header.update(step=-5), "claims to be of step -5"),
        (lambda tensors, header, metadata: header.update(step="5"), "claims to be of step 5"),
        (lambda tensors, header, metadata: header.pop("counters"), "does not say what it holds"),
        (lambda tensors, header, metadata: header.update(identity=[]), "does not say what it holds"),
        (lambda tensors, header, metadata: tensors.update(strange=torch.zeros(1)), "nothing is known of strange"),
    ],
)
def test_contents_that_cannot_be(path: Path, change: Callable[..., object], complaint: str) -> None:
    rewrite(path, lambda tensors, header, metadata: (metadata.pop("checksum"), change(tensors, header, metadata)))
    with pytest.raises(BadFile, match=f"cannot be read as a checkpoint .*{complaint}"):
        Checkpoint.load(path)


def test_a_changed_header_does_not_match_the_checksum(path: Path) -> None:
    rewrite(path, lambda tensors, header, metadata: header.update(step=3))
    with pytest.raises(BadFile, match="not what was written"):
        Checkpoint.load(path)


def test_what_a_run_misses_is_one_line(path: Path) -> None:
    for error in (KeyError("schedule"), RuntimeError("shapes\ndiffer"), IndexError("no such row")):
        with (
            pytest.raises(BadFile, match=r"lacks what the run needs to continue \(.*\); delete it") as told,
            whole(path),
        ):
            raise error
        assert "\n" not in str(told.value)
