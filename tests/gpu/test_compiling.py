"""An adapted denoiser is one graph for `torch.compile`, also when its adapter gets other values or strengths."""

from collections.abc import Callable

import pytest
import torch
from device_matrix import METHODS, draw, moved, require_close

from portraitist.adapters import Attachment
from portraitist.bases import Base

pytestmark = pytest.mark.gpu
Load = Callable[[str, torch.dtype], Base]
DENOISING = [method for method in METHODS if method != "textual-inversion"]


@pytest.mark.parametrize("method", DENOISING)
def test_one_graph_for_all_values_and_strengths(device: str, load: Load, method: str) -> None:
    base = load(device, torch.float32)
    first, second = (moved(draw(load("cpu", torch.float32), method, seed), device) for seed in (3, 4))
    noised = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(5)).to(device)
    timesteps = torch.tensor([400], device=device)
    conditions = base.family.encode_prompts(["a cat"])
    graphs = 0

    def count(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> Callable[..., object]:
        nonlocal graphs
        graphs += 1
        return graph.forward

    torch.compiler.reset()
    backend = count if device == "cpu" else "inductor"
    denoise = torch.compile(base.family.predict, fullgraph=True, backend=backend)
    attachment = Attachment(base.components).attach(first)
    with torch.no_grad():
        for adapter, scale in ((first, 1.0), (second, 1.0), (second, 0.5), (first, 0.7), (first, 0.2)):
            attachment.feed("default", adapter.values)
            attachment.set_scale(scale)
            wanted = base.family.predict(noised, timesteps, conditions)
            require_close(denoise(noised, timesteps, conditions), wanted, 1e-3)
    attachment.detach()
    assert graphs <= 2
