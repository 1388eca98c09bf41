"""The usual precision of a base on each kind of device, without having them."""

import pytest
import torch

from portraitist.bases.cards import Card
from portraitist.bases.precision import quick_float32, usual_precision


def pretend(monkeypatch: pytest.MonkeyPatch, card: Card) -> None:
    """Pretend that every device of CUDA is a card."""
    monkeypatch.setattr(Card, "of", lambda device: card if torch.device(device).type == "cuda" else None)


@pytest.mark.parametrize("device", ["cuda", "cuda:1", torch.device("cuda")])
@pytest.mark.parametrize("bfloat16", [True, False])
def test_a_gpu_holds_a_base_in_half_precision(
    bfloat16: bool, device: str | torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, Card("a card", 2**33, bfloat16=bfloat16))
    assert usual_precision(device) == (torch.bfloat16 if bfloat16 else torch.float16)


@pytest.mark.parametrize("device", ["cpu", "mps", torch.device("cpu")])
def test_other_devices_hold_it_in_float32(device: str | torch.device) -> None:
    assert usual_precision(device) == torch.float32


def flags() -> tuple[str, bool]:
    return torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize(("tf32", "within"), [(True, ("high", True)), (False, ("highest", False))])
def test_float32_is_quick_for_a_while(tf32: bool, within: tuple[str, bool], monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, Card("a card", 2**33, tf32=tf32))
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    before = flags()
    with quick_float32("cuda"):
        assert flags() == within
    assert flags() == before == ("highest", False)


def test_a_processor_multiplies_as_it_did() -> None:
    before = flags()
    with quick_float32("cpu"):
        assert flags() == before
