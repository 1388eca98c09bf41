"""The usual precision of a base on each kind of device, without having them."""

import contextlib

import pytest
import torch

from portraitist.bases.precision import usual_precision


@pytest.fixture(params=[True, False], ids=["with bfloat16", "without"])
def card(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Pretend that there is a GPU, one that computes in bfloat16 or one that would emulate it."""
    has: bool = request.param
    monkeypatch.setattr(torch.cuda, "device", lambda device: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: including_emulation or has)
    return has


@pytest.mark.parametrize("device", ["cuda", "cuda:1", torch.device("cuda")])
def test_a_gpu_holds_a_base_in_half_precision(card: bool, device: str | torch.device) -> None:
    assert usual_precision(device) == (torch.bfloat16 if card else torch.float16)


@pytest.mark.parametrize("device", ["cpu", "mps", torch.device("cpu")])
def test_other_devices_hold_it_in_float32(device: str | torch.device) -> None:
    assert usual_precision(device) == torch.float32
