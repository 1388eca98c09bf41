"""What every method computes on a device, in every precision, is what it computes on the CPU in float32."""

from collections.abc import Callable

import pytest
import torch
from device_matrix import BOUNDS, METHODS, PRECISIONS, draw, moved, outputs, require_close

from portraitist.adapters import attached, stack
from portraitist.bases import Base

pytestmark = pytest.mark.gpu
Load = Callable[[str, torch.dtype], Base]


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("method", METHODS)
def test_predictions_merged_and_unmerged(device: str, load: Load, method: str, dtype: torch.dtype) -> None:
    exact, base = load("cpu", torch.float32), load(device, dtype)
    adapter, bound = draw(exact, method), BOUNDS[dtype]
    frozen = outputs(exact)
    with attached(exact.components, adapter):
        wanted = outputs(exact)
    weights = {name: module.state_dict() for name, module in base.components.items()}
    before = {name: {key: value.clone() for key, value in state.items()} for name, state in weights.items()}
    with attached(base.components, moved(adapter, device)) as attachment:
        found = outputs(base)
        attachment.merge()
        merged = outputs(base)
        attachment.unmerge()
        assert torch.equal(outputs(base), found)
    for each in (found, merged):
        require_close(each, wanted, bound, frozen)
    for name, module in base.components.items():
        for key, value in module.state_dict().items():
            assert torch.equal(value, before[name][key]), f"{name}.{key}"


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("method", METHODS)
def test_banks_in_order_and_served(device: str, load: Load, method: str, dtype: torch.dtype) -> None:
    exact, base = load("cpu", torch.float32), load(device, dtype)
    adapters, bound = [draw(exact, method, seed) for seed in range(3)], BOUNDS[dtype]
    alone = []
    for adapter in adapters:
        with attached(exact.components, adapter):
            alone.append(outputs(exact, 3))
    with attached(base.components, moved(stack(adapters), device)) as attachment:
        require_close(outputs(base, 3), torch.stack([alone[row][row] for row in range(3)]), bound)
        attachment.serve([2, None, 0])
        frozen = outputs(exact, 3)
        require_close(outputs(base, 3), torch.stack([alone[2][0], frozen[1], alone[0][2]]), bound)


@pytest.mark.parametrize("method", METHODS)
def test_gradients(device: str, load: Load, method: str) -> None:
    gradients = []
    for place in ("cpu", device):
        base = load(place, torch.float32)
        adapter = moved(draw(load("cpu", torch.float32), method), place)
        for parameter in adapter.named_parameters().values():
            parameter.requires_grad_()
        with attached(base.components, adapter):
            conditions = base.family.encode_prompts(["a photo of a sks cat"])
            noised = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(5)).to(place)
            base.family.predict(noised, torch.tensor([400], device=place), conditions).square().sum().backward()
        gradients.append({name: value.grad.cpu() for name, value in adapter.named_parameters().items()})
    for name, wanted in gradients[0].items():
        require_close(gradients[1][name], wanted, 1e-3)
