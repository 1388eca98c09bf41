"""Hypernetworks on a device: trained as on the CPU, and what they make of a photo is usable everywhere."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from device_matrix import require_close
from painted_set import paint_set
from small_hypernetworks import small_recipe

from portraitist.bases import Base
from portraitist.hypernetworks.making import PredictorWorkshop
from portraitist.hypernetworks.saved import load_hypernetwork
from portraitist.training.networks.machine import Machine

pytestmark = pytest.mark.gpu
Load = Callable[[str, torch.dtype], Base]


def test_a_network_is_trained_as_on_the_cpu(device: str, load: Load, tmp_path: Path) -> None:
    exact = load("cpu", torch.float32)
    painted = paint_set(tmp_path / "set", exact)
    numbers = []
    for number, place in enumerate(("cpu", device)):
        folder = tmp_path / f"network {number}"
        base, machine = load(place, torch.float32), Machine(place)
        PredictorWorkshop(folder, "portraitist", small_recipe(), painted, base, machine).train()
        predictor = load_hypernetwork(str(folder)).predictor
        numbers.append(predictor({"latents": torch.ones(1, 1, 4, 64)}).detach())
    assert float(numbers[0].abs().max()) > 0
    require_close(numbers[1], numbers[0], 5e-2)
