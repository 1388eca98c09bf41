"""Finding numbers that are not finite in files of every precision, without torch."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from portraitist.adapters.outline import read_outline, tensors_not_finite


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_numbers_that_are_not_finite_are_found(tmp_path: Path, dtype: torch.dtype) -> None:
    info = torch.finfo(dtype)
    largest = min(info.max, 2.0**59)
    sound = torch.tensor([0.0, -1.0, largest, -largest, info.tiny], dtype=dtype)
    tensors = {"sound": sound, "empty": sound[:0]}
    for value in ("nan", "inf", "-inf"):
        tensors[value] = sound.clone()
        tensors[value][1] = float(value)
    save_file(tensors, tmp_path / "a.safetensors", metadata={"some": "note"})
    assert sorted(tensors_not_finite(tmp_path / "a.safetensors")) == ["-inf", "inf", "nan"]


def test_whole_numbers_are_not_an_adapters(tmp_path: Path) -> None:
    save_file({"counts": torch.arange(3)}, tmp_path / "a.safetensors")
    assert list(tensors_not_finite(tmp_path / "a.safetensors")) == ["counts"]
    outline = read_outline(tmp_path / "a.safetensors")
    assert (outline.shapes, outline.dtypes, outline.metadata) == ({"counts": (3,)}, {"counts": "I64"}, {})
