"""Fingerprints: fast, the same in every precision of storage, different for different weights."""

from pathlib import Path
from time import perf_counter

import pytest
import torch
from torch import nn

from portraitist.bases import load_base
from portraitist.bases.architectures import build_architecture
from portraitist.bases.fingerprint import fingerprint
from portraitist.fingerprints import same_structure, same_weights

PRECISIONS = (torch.float32, torch.float16, torch.bfloat16)


def model(seed: int = 0, width: int = 64) -> dict[str, nn.Module]:
    generator = torch.Generator().manual_seed(seed)
    layers = nn.Sequential(*(nn.Linear(width, width) for _ in range(4)))
    for parameter in layers.parameters():
        parameter.data = 0.05 * torch.randn(parameter.shape, generator=generator)
    return {"unet": layers}


def stored(components: dict[str, nn.Module], dtype: torch.dtype) -> dict[str, nn.Module]:
    """Return a copy as a file of another precision would give it back."""
    copies = model()
    for name, module in components.items():
        copies[name].load_state_dict(module.state_dict())
        copies[name].to(dtype)
    return copies


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_copies_in_other_precisions_are_known_again(dtype: torch.dtype) -> None:
    master, copy = fingerprint(model()), fingerprint(stored(model(), dtype))
    assert same_weights(master, copy)
    assert same_weights(copy, fingerprint({name: module.float() for name, module in stored(model(), dtype).items()}))


def test_half_precisions_of_different_kinds_cannot_be_compared() -> None:
    half, brain = (fingerprint(stored(model(), dtype)) for dtype in (torch.float16, torch.bfloat16))
    assert same_structure(half, brain)
    assert not same_weights(half, brain)
    # A copy in float16 that is loaded as bfloat16 is known again.
    assert same_weights(half, fingerprint(stored(stored(model(), torch.float16), torch.bfloat16)))


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_other_weights_are_told_apart(dtype: torch.dtype) -> None:
    master = fingerprint(model())
    assert not same_weights(master, fingerprint(stored(model(seed=1), dtype)))
    tuned = model()
    for parameter in tuned["unet"].parameters():  # a fine-tune moves every weight a little
        parameter.data *= 1.002
    assert not same_weights(master, fingerprint(stored(tuned, dtype)))
    assert not same_structure(master, fingerprint(model(width=32)))


def test_what_is_no_fingerprint_is_of_no_base() -> None:
    assert not same_weights("0123456789abcdef", fingerprint(model()))
    assert not same_weights("None", fingerprint(model()))


def test_a_copy_in_half_precision_on_disk_is_known_again(
    tiny_base_folder: Path, other_base_folder: Path, tmp_path: Path
) -> None:
    base = load_base(tiny_base_folder)
    found = base.fingerprint
    base.pipeline.to(dtype=torch.float16).save_pretrained(tmp_path / "half", variant="fp16")
    assert same_weights(load_base(tmp_path / "half").fingerprint, found)
    assert not same_weights(load_base(other_base_folder).fingerprint, found)


def test_memory_layout_does_not_matter() -> None:
    layer = nn.Conv2d(8, 8, 3)
    found = fingerprint({"unet": layer})
    assert fingerprint({"unet": layer.to(memory_format=torch.channels_last)}) == found


def test_the_largest_unet_takes_less_than_two_seconds() -> None:
    components = build_architecture("sdxl", dtype=torch.bfloat16)
    empty = {name: module.to_empty(device="cpu") for name, module in components.items()}  # pages are not touched
    started = perf_counter()
    fingerprint(empty)
    assert perf_counter() - started < 2
