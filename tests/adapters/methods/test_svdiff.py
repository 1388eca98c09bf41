"""Spectral shifts against the paper's definition, written out with a full decomposition in float64."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from portraitist.adapters import Adapter, attached, find_layers
from portraitist.adapters.spectrum import decompose
from portraitist.errors import BadConfig

SHAPES = {
    "wide linear": lambda: nn.Linear(12, 20),
    "tall linear": lambda: nn.Linear(20, 12),
    "square linear": lambda: nn.Linear(16, 16, bias=False),
    "convolution": lambda: nn.Conv2d(4, 8, 3, padding=1),
    "widening convolution": lambda: nn.Conv2d(1, 20, 3, stride=2),
    "widening 1x1 convolution": lambda: nn.Conv2d(4, 8, 1),
    "embedding": lambda: nn.Embedding(30, 8),
}


def by_definition(weight: Tensor, delta: Tensor, scale: float = 1.0) -> Tensor:
    """Return ``U diag(relu(sigma + s delta)) V^T`` (eq. 2) in the weight's shape."""
    u, sigma, vt = torch.linalg.svd(weight.detach().flatten(1).double(), full_matrices=False)
    shifts = torch.zeros_like(sigma)
    shifts[: len(delta)] = scale * delta.detach().double()
    return (u @ torch.diag(torch.relu(sigma + shifts)) @ vt).view(weight.shape).float()


def module_input(module: nn.Module, generator: torch.Generator) -> Tensor:
    if isinstance(module, nn.Linear):
        return torch.randn(3, 40, module.in_features, generator=generator)
    if isinstance(module, nn.Conv2d):
        return torch.randn(3, module.in_channels, 9, 9, generator=generator)
    return torch.randint(0, 30, (3, 7), generator=generator)


def adapter_of(module: nn.Module, generator: torch.Generator, size: float = 0.5, **config: object) -> Adapter:
    adapter = Adapter.create("svdiff", config, find_layers({"m": nn.ModuleDict({"x": module})}, ["m.x"]), generator)
    delta = adapter.parameters["m.x"]["delta"]
    delta.data = size * torch.randn(delta.shape, generator=generator)
    return adapter


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("singular", [False, True], ids=["full rank", "rank deficient"])
@pytest.mark.parametrize("scale", [1.0, 0.6])
def test_forward_equals_the_definition(shape: str, singular: bool, scale: float) -> None:
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    module = SHAPES[shape]()
    if singular:  # some singular values vanish, others are a millionth of the largest
        u, sigma, vt = torch.linalg.svd(module.weight.data.flatten(1), full_matrices=False)
        sigma[-3:] = torch.tensor([1e-6, 1e-7, 0.0]) * sigma[0]
        module.weight.data = (u * sigma @ vt).view(module.weight.shape)
    adapter, x = adapter_of(module, generator), module_input(module, generator)
    expected = nn.Module.__call__(module, x)
    before = expected.clone()
    weight = module.weight.data.clone()
    with attached({"m": nn.ModuleDict({"x": module})}, adapter, scale=scale):
        actual = module(x)
    module.weight.data = by_definition(weight, adapter.parameters["m.x"]["delta"], scale)
    expected = module(x)
    if singular:
        # Vectors of equal (vanishing) singular values are not unique: compare what does not depend on them.
        delta = adapter.parameters["m.x"]["delta"].detach()
        size = torch.linalg.svdvals(weight.flatten(1)).shape[0]
        assert delta.shape[0] == size
        layer = adapter.layers["m.x"]
        rebuilt = weight + layer.delta_weight({"delta": scale * delta})
        module.weight.data = rebuilt
        torch.testing.assert_close(actual, module(x), rtol=1e-4, atol=1e-4)
        found = torch.linalg.svdvals(rebuilt.flatten(1))
        wanted = torch.relu(torch.linalg.svdvals(weight.flatten(1)) + scale * delta).sort(descending=True).values
        torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-4)
    else:
        torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)
    assert (actual - before).abs().max() > 1e-2


@pytest.mark.parametrize("shape", SHAPES)
def test_no_shift_is_bit_exact(shape: str) -> None:
    generator = torch.Generator().manual_seed(1)
    module = SHAPES[shape]()
    x = module_input(module, generator)
    before = module(x)
    with attached({"m": nn.ModuleDict({"x": module})}, adapter_of(module, generator, size=0.0)):
        assert torch.equal(module(x), before)


@pytest.mark.parametrize("tokens", [3, 20, 200])
@pytest.mark.parametrize("sizes", [(12, 20), (20, 12), (16, 16)])
def test_every_way_of_computing_gives_the_same_gradients(tokens: int, sizes: tuple[int, int]) -> None:
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    module = nn.Linear(*sizes).double()
    adapter = adapter_of(module, generator)
    x = torch.randn(tokens, sizes[0], generator=generator, dtype=torch.float64, requires_grad=True)
    delta = adapter.parameters["m.x"]["delta"].detach().double().requires_grad_()
    adapter.parameters["m.x"]["delta"] = delta
    with attached({"m": nn.ModuleDict({"x": module})}, adapter):
        weights = torch.randn(tokens, sizes[1], generator=generator, dtype=torch.float64)
        (module(x) * weights).sum().backward()
    actual = (x.grad.clone(), delta.grad.clone())
    x.grad = delta.grad = None
    dense = module.weight + adapter.layers["m.x"].delta_weight({"delta": delta})
    (torch.nn.functional.linear(x, dense, module.bias) * weights).sum().backward()
    torch.testing.assert_close(actual, (x.grad, delta.grad), rtol=1e-5, atol=1e-5)


def test_shifts_below_minus_sigma_empty_the_weight() -> None:
    generator = torch.Generator().manual_seed(1)
    module = nn.Linear(6, 6, bias=False)
    adapter = adapter_of(module, generator)
    adapter.parameters["m.x"]["delta"].data.fill_(-100.0)
    with attached({"m": nn.ModuleDict({"x": module})}, adapter):
        assert module(torch.randn(4, 6)).abs().max() < 1e-4


def test_rank_limits_the_change() -> None:
    generator = torch.Generator().manual_seed(1)
    module = nn.Linear(20, 12)
    adapter = adapter_of(module, generator, rank=3)
    assert adapter.count() == 3
    with attached({"m": nn.ModuleDict({"x": module})}, adapter):
        change = adapter.layers["m.x"].delta_weight(adapter.parameters["m.x"])
    assert torch.linalg.matrix_rank(change, rtol=1e-4) == 3


def test_shifts_without_their_base_are_refused() -> None:
    adapter = adapter_of(nn.Linear(4, 4), torch.Generator().manual_seed(1))
    with pytest.raises(BadConfig, match="mean nothing without the base"):
        adapter.layers["m.x"].delta_weight(adapter.parameters["m.x"])


def test_decompositions_are_kept_on_disk_and_read_again(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(8, 20, generator=generator)
    first, second = nn.Linear(20, 8), nn.Linear(20, 8)
    first.weight.data, second.weight.data = weight.clone(), weight.clone()
    adapter = adapter_of(first, generator)
    x = torch.randn(2, 20, generator=generator)
    with attached({"m": nn.ModuleDict({"x": first})}, adapter):
        expected = first(x)
    assert len(list((own_cache / "spectra").glob("*.safetensors"))) == 1
    monkeypatch.setattr("portraitist.adapters.spectrum.decompose", lambda weight: pytest.fail("computed again"))
    second.bias.data = first.bias.data.clone()
    with attached({"m": nn.ModuleDict({"x": second})}, adapter):
        torch.testing.assert_close(second(x), expected)


def test_a_damaged_store_is_computed_again(own_cache: Path) -> None:
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(8, 20, generator=generator)
    for damage in (True, False):
        module = nn.Linear(20, 8)
        module.weight.data = weight.clone()
        with attached({"m": nn.ModuleDict({"x": module})}, adapter_of(module, generator)):
            module(torch.randn(2, 20))
        (stored,) = (own_cache / "spectra").glob("*.safetensors")
        if damage:
            stored.write_bytes(b"damaged")
    assert stored.stat().st_size > 500


def test_only_the_smaller_side_is_kept() -> None:
    spectrum = decompose(torch.randn(16, 64, generator=torch.Generator().manual_seed(0)))
    assert spectrum.left
    assert spectrum.side.shape == (16, 16)
    assert spectrum.small_u.shape == (16, 0)
    torch.testing.assert_close(spectrum.side.T @ spectrum.side, torch.eye(16), rtol=0, atol=1e-5)
