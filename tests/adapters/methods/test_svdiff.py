"""Spectral shifts against the paper's definition, written out with a full decomposition in float64."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from portraitist.adapters import Adapter, Attachment, attached, find_layers, spectrum
from portraitist.adapters.algebra import bind
from portraitist.adapters.layer import apply_weight
from portraitist.adapters.spectrum import decompose
from portraitist.errors import BadConfig

SHAPES = {
    "wide linear": lambda: nn.Linear(12, 20),
    "tall linear": lambda: nn.Linear(20, 12),
    "square linear": lambda: nn.Linear(16, 16, bias=False),
    "convolution": lambda: nn.Conv2d(4, 8, 3, padding=1),
    "widening convolution": lambda: nn.Conv2d(1, 20, 3, stride=2),
    "widening 1x1 convolution": lambda: nn.Conv2d(4, 8, 1),
    "strided 1x1 convolution": lambda: nn.Conv2d(8, 8, 1, stride=2),
    "oblong 1x1 convolution": lambda: nn.Conv2d(4, 16, 1),
    "oblong linear": lambda: nn.Linear(6, 24),
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
    delta = adapter.values["m.x"]["delta"]
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
    module.weight.data = by_definition(weight, adapter.values["m.x"]["delta"], scale)
    expected = module(x)
    if singular:
        # Vectors of equal (vanishing) singular values are not unique: compare what does not depend on them.
        delta = adapter.values["m.x"]["delta"].detach()
        size = torch.linalg.svdvals(weight.flatten(1)).shape[0]
        assert delta.shape[0] == size
        layer = adapter.layers["m.x"]
        layer.bind(weight, None)
        rebuilt = weight + layer.delta_weight({"delta": scale * delta})
        module.weight.data = rebuilt
        torch.testing.assert_close(actual, module(x), rtol=1e-4, atol=1e-4)
        found = torch.linalg.svdvals(rebuilt.flatten(1))
        wanted = torch.relu(torch.linalg.svdvals(weight.flatten(1)) + scale * delta).sort(descending=True).values
        torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-4)
    else:
        torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)
    assert (actual - before).abs().max() > 1e-2


def test_attaching_and_binding_look_at_every_weight_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at: list[int] = []
    samples = spectrum._samples

    def noting(weights: Sequence[Tensor]) -> dict[int, bytes]:
        looked_at.append(len(weights))
        return samples(weights)

    monkeypatch.setattr(spectrum, "_samples", noting)
    torch.manual_seed(3)
    components = {"m": nn.ModuleDict({f"x{index}": nn.Linear(20 + index, 24) for index in range(5)})}
    layers = find_layers(components, [f"m.x{index}" for index in range(5)])
    adapter = Adapter.create("svdiff", {}, layers, torch.Generator().manual_seed(0))
    with attached(components, adapter):
        assert looked_at == [5]
    with attached(components, adapter):  # known now, but perhaps changed since
        assert looked_at == [5, 5]
    bind(adapter, components)
    assert looked_at == [5, 5, 5]


@pytest.mark.parametrize("shape", SHAPES)
def test_no_shift_is_bit_exact(shape: str) -> None:
    generator = torch.Generator().manual_seed(1)
    module = SHAPES[shape]()
    x = module_input(module, generator)
    before = module(x)
    with attached({"m": nn.ModuleDict({"x": module})}, adapter_of(module, generator, size=0.0)):
        assert torch.equal(module(x), before)


GRADIENT_SHAPES = {
    **{
        f"linear {i} -> {o}": ((lambda i=i, o=o: nn.Linear(i, o)), i) for i, o in [(12, 20), (20, 12), (6, 24), (24, 6)]
    },
    "square linear": (lambda: nn.Linear(16, 16), 16),
    "convolution": (lambda: nn.Conv2d(4, 8, 3, padding=1), 4),
    "square 1x1 convolution": (lambda: nn.Conv2d(8, 8, 1), 8),
    "oblong 1x1 convolution": (lambda: nn.Conv2d(4, 16, 1), 4),
}


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("positions", [1, 4, 15])
@pytest.mark.parametrize("rank", [None, 3])
@pytest.mark.parametrize("bank", [0, 2])
@pytest.mark.parametrize("shape", GRADIENT_SHAPES)
def test_every_way_of_computing_gives_the_same_gradients(
    shape: str, bank: int, rank: int | None, positions: int, memory_format: torch.memory_format
) -> None:
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    make, channels = GRADIENT_SHAPES[shape]
    module = make().double()
    adapter = adapter_of(module, generator, rank=rank)
    formulas = adapter.layers["m.x"]
    formulas.bind(module.weight, module.bias)
    delta = adapter.values["m.x"]["delta"].detach().double()
    delta = (torch.stack([delta, -delta.flip(0)]) if bank else delta).requires_grad_()
    adapter.values["m.x"]["delta"] = delta
    if isinstance(module, nn.Linear):
        x = torch.randn(2, positions**2, channels, generator=generator, dtype=torch.float64, requires_grad=True)
    else:
        x = torch.randn(2, channels, positions, positions, generator=generator, dtype=torch.float64)
        x = x.to(memory_format=memory_format).requires_grad_()
    with attached({"m": nn.ModuleDict({"x": module})}, adapter):
        y = module(x)
        weights = torch.randn(y.shape, generator=generator, dtype=torch.float64)
        (y * weights).sum().backward()
    actual = (x.grad.clone(), delta.grad.clone())
    x.grad = delta.grad = None
    dense = module.weight + formulas.delta_weight({"delta": delta})
    (apply_weight(formulas.spec, x, dense, module.bias) * weights).sum().backward()
    torch.testing.assert_close(actual, (x.grad, delta.grad), rtol=1e-4, atol=1e-5)


def test_shifts_below_minus_sigma_empty_the_weight() -> None:
    generator = torch.Generator().manual_seed(1)
    module = nn.Linear(6, 6, bias=False)
    adapter = adapter_of(module, generator)
    adapter.values["m.x"]["delta"].data.fill_(-100.0)
    with attached({"m": nn.ModuleDict({"x": module})}, adapter):
        assert module(torch.randn(4, 6)).abs().max() < 1e-4


def test_rank_limits_the_change() -> None:
    generator = torch.Generator().manual_seed(1)
    module = nn.Linear(20, 12)
    adapter = adapter_of(module, generator, rank=3)
    assert adapter.count() == 3
    bind(adapter, {"m": nn.ModuleDict({"x": module})})
    change = adapter.layers["m.x"].delta_weight(adapter.values["m.x"])
    assert torch.linalg.matrix_rank(change, rtol=1e-4) == 3


def test_shifts_without_their_base_are_refused() -> None:
    adapter = adapter_of(nn.Linear(4, 4), torch.Generator().manual_seed(1))
    with pytest.raises(BadConfig, match="mean nothing without the base"):
        adapter.layers["m.x"].delta_weight(adapter.values["m.x"])


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
    assert load_file(stored).keys() == {"sigma", "u", "v"}


@pytest.mark.parametrize("transposed", [False, True])
def test_of_an_oblong_matrix_only_the_smaller_side_is_kept(transposed: bool) -> None:
    matrix = torch.randn(16, 64, generator=torch.Generator().manual_seed(0))
    spectrum = decompose(matrix.T if transposed else matrix)
    assert spectrum.left is not transposed
    assert {spectrum.u.shape, spectrum.v.shape} == {(16, 16), (64, 0)}
    torch.testing.assert_close(spectrum.side.T @ spectrum.side, torch.eye(16), rtol=0, atol=1e-5)


def test_of_a_nearly_square_matrix_both_sides_are_kept() -> None:
    matrix = torch.randn(16, 24, generator=torch.Generator().manual_seed(0))
    spectrum = decompose(matrix)
    assert spectrum.complete
    torch.testing.assert_close(spectrum.u * spectrum.sigma @ spectrum.v.T, matrix, rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_decomposition_keeps_no_copy_of_the_weight(dtype: torch.dtype) -> None:
    weight = torch.randn(16, 8, 3, 3, generator=torch.Generator().manual_seed(0)).to(dtype)
    spectrum = decompose(weight)
    kept = {
        vectors.untyped_storage().data_ptr(): vectors.untyped_storage().nbytes() for vectors in (spectrum.u, spectrum.v)
    }
    assert sum(kept.values()) == 4 * 16 * 16


def test_counting_needs_no_weights() -> None:
    module = nn.Linear(16, 64, device="meta")
    generator = torch.Generator().manual_seed(1)
    adapter = adapter_of(module, generator)
    adapter.values["m.x"]["delta"] = torch.empty(16, device="meta")
    with attached({"m": nn.ModuleDict({"x": module})}, adapter):
        assert module(torch.empty(2, 16, device="meta")).shape == (2, 64)


def test_a_changed_weight_is_decomposed_again(own_cache: Path) -> None:
    generator = torch.Generator().manual_seed(1)
    for change in (0.0, 1e-6):
        module = nn.Linear(200, 100)
        module.weight.data = torch.ones(100, 200)
        module.weight.data[50, 123] += change
        with attached({"m": nn.ModuleDict({"x": module})}, adapter_of(module, generator)):
            assert len(list((own_cache / "spectra").glob("*.safetensors"))) == 1 + (change > 0)


@pytest.mark.parametrize("through_data", [False, True], ids=["counted", "through .data"])
def test_a_weight_changed_in_place_is_decomposed_again(through_data: bool) -> None:
    generator = torch.Generator().manual_seed(1)
    module = nn.Linear(8, 8, bias=False)
    components = {"m": nn.ModuleDict({"x": module})}
    adapter, x = adapter_of(module, generator), torch.randn(3, 8, generator=generator)
    with attached(components, adapter):
        module(x)
    if through_data:
        module.weight.data.copy_(torch.randn(8, 8, generator=generator))
    else:
        module.load_state_dict({"weight": torch.randn(8, 8, generator=generator)})
    expected = x @ by_definition(module.weight, adapter.values["m.x"]["delta"]).T
    with attached(components, adapter):
        torch.testing.assert_close(module(x), expected, rtol=1e-4, atol=1e-4)


def test_shifts_of_different_ranks_add_inside_the_relu() -> None:
    generator = torch.Generator().manual_seed(1)
    for module in (nn.Linear(8, 8), nn.Linear(6, 24), nn.Linear(24, 6), nn.Conv2d(4, 8, 3)):
        components = {"m": nn.ModuleDict({"x": module})}
        long, short = adapter_of(module, generator, 2.0), adapter_of(module, generator, 2.0, rank=3)
        x = module_input(module, generator)
        padded = torch.zeros_like(long.values["m.x"]["delta"])
        padded[:3] = short.values["m.x"]["delta"].detach()
        both = adapter_of(module, generator)
        both.values["m.x"]["delta"] = long.values["m.x"]["delta"] + padded
        with attached(components, both):
            expected = module(x)
        for first, second in ((long, short), (short, long)):
            attachment = Attachment(components).attach(first, "first").attach(second, "second")
            torch.testing.assert_close(module(x), expected, rtol=1e-4, atol=1e-5)
            attachment.detach()


def test_decompositions_that_cannot_be_stored_are_used_all_the_same(own_cache: Path) -> None:
    (own_cache / "spectra").touch()  # in the way of the folder
    generator = torch.Generator().manual_seed(1)
    module = nn.Linear(20, 8)
    with (
        pytest.warns(UserWarning, match=r"set \$PORTRAITIST_CACHE"),
        attached({"m": nn.ModuleDict({"x": module})}, adapter_of(module, generator)),
    ):
        module(torch.randn(2, 20))
