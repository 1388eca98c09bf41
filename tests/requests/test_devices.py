"""Devices and precisions by name."""

import pytest
import torch

from portraitist.errors import BadConfig
from portraitist.requests.devices import choose_device, choose_precision


def test_devices() -> None:
    assert choose_device("cpu") == "cpu"
    with pytest.raises(BadConfig, match="no device 'abacus'"):
        choose_device("abacus")


def test_each_process_gets_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "3")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "empty", lambda *_, device: device)
    assert choose_device("auto") == "cuda:3"


def test_precisions() -> None:
    assert choose_precision(None) is None
    assert choose_precision("bf16") is torch.bfloat16
    with pytest.raises(BadConfig, match="unknown precision 'int8'; choose one of fp16, bf16, fp32"):
        choose_precision("int8")
