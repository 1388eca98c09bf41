"""What is counted of a step: the optimiser's state, and which methods can do with packed weights."""

from pathlib import Path

import pytest
import torch
from torch import nn

from portraitist.training.loop.optimizers import OptimizerChoice, build_optimizer
from portraitist.training.planning.counting import can_pack, state_bytes
from portraitist.training.planning.planning import count_run


def test_every_optimiser_has_its_state_measured() -> None:
    choices = [OptimizerChoice("adamw"), OptimizerChoice("adamw8bit"), OptimizerChoice("prodigy")]
    bytes_of = {choice.name: state_bytes(choice, (512, 512)) / 512**2 for choice in choices}
    assert bytes_of["adamw"] == 8
    assert 2 <= bytes_of["adamw8bit"] < 2.1
    assert bytes_of["prodigy"] == 16
    assert state_bytes(OptimizerChoice("adamw8bit"), (8, 8)) == state_bytes(OptimizerChoice("adamw"), (8, 8))


@pytest.mark.parametrize("name", ["adamw", "adamw8bit"])
@pytest.mark.parametrize("shape", [(8, 8), (64, 64), (300, 50)])
def test_what_is_known_of_adamws_state_is_what_it_keeps(name: str, shape: tuple[int, int]) -> None:
    choice = OptimizerChoice(name)  # type: ignore[arg-type]
    parameter = nn.Parameter(torch.ones(shape))
    optimizer = build_optimizer([{"params": [parameter], "lr": 1.0, "weight_decay": 0.0}], choice)
    parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    state = [each for each in optimizer.state[parameter].values() if isinstance(each, torch.Tensor) and each.ndim]
    tables = 2 * 256 * 4  # of bitsandbytes' 8-bit numbers, shared by all tensors
    kept = sum(each.untyped_storage().nbytes() for each in state if each.numel() != 256)
    assert state_bytes(choice, shape) == pytest.approx(kept, abs=tables)


@pytest.mark.parametrize(("method", "possible"), [("lora", True), ("krona", True), ("lidb", True), ("svdiff", False)])
def test_methods_that_read_weights_cannot_do_with_fewer_bits(
    method: str, possible: bool, tiny_base_folder: Path
) -> None:
    own = {"krona": {"method_config": {"out_factor": 8, "in_factor": 8}}, "lidb": {"method_config": {"a": 16, "b": 8}}}
    overrides = {"prior": "none", "layers": "attention", **own.get(method, {})}
    _, adapter, footprint = count_run(str(tiny_base_folder), method, overrides, torch.float32)
    assert can_pack(adapter, footprint.staying[0]) is possible
