"""LoRAs as vectors: a table of pieces, there and back."""

import pytest
import torch
from small_weights import RANK, SPECS, layout, loras

from portraitist.adapters import Adapter, LayerSpec, Space
from portraitist.adapters.spec import Kind
from portraitist.errors import BadConfig
from portraitist.hypernetworks.weights.layout import WeightLayout, shared_factor


def bank(count: int = 3) -> Adapter:
    space = Space.of("lora", {"rank": RANK}, SPECS)
    return Adapter(space, space.unflatten(torch.randn(count, space.count, generator=torch.Generator().manual_seed(1))))


def test_the_table_says_where_every_factor_is() -> None:
    pieces = layout().pieces
    assert [(piece.layer, piece.factor, piece.width) for piece in pieces] == [
        ("unet.a.to_q", "down", 6),
        ("unet.a.to_q", "up", 10),
        ("unet.b.to_q", "down", 8),
        ("unet.b.to_q", "up", 12),
    ]
    assert [piece.first for piece in pieces] == [0, 12, 32, 48]
    assert layout().count == 72


def test_changes_come_back_from_vectors() -> None:
    whole, adapters = layout(), bank()
    again = whole.bank(whole.vectors(adapters))
    for name, params in adapters.values.items():
        change = params["up"] @ params["down"]
        torch.testing.assert_close(again.values[name]["up"] @ again.values[name]["down"], change, atol=1e-5, rtol=1e-4)


def test_a_shared_factor_is_not_in_the_vector() -> None:
    adapters = bank()
    for params in adapters.values.values():
        params["down"] = params["down"][:1].expand(3, -1, -1)  # type: ignore[index]
    whole = WeightLayout(SPECS, RANK, shared_factor(adapters))
    vectors = whole.vectors(adapters)
    assert vectors.shape == (3, RANK * (10 + 12))
    again = whole.bank(vectors)
    for name, params in adapters.values.items():
        torch.testing.assert_close(again.values[name]["up"], params["up"])
        torch.testing.assert_close(again.values[name]["down"], params["down"])
    with pytest.raises(BadConfig, match="do not share their factor A"):
        whole.vectors(bank())


def test_other_adapters_are_refused() -> None:
    with pytest.raises(BadConfig, match="not LoRAs of rank 3 on 2"):
        WeightLayout(SPECS, 3).vectors(bank())
    with pytest.raises(BadConfig, match="is not one"):
        WeightLayout([LayerSpec("conv", Kind.CONV, (4, 4, 3, 3))], RANK)


def test_gradients_reach_vectors_through_factors() -> None:
    vectors = loras(2).requires_grad_()
    sum((each.up @ each.down).square().sum() for each in layout().factors(vectors).values()).backward()  # type: ignore[union-attr]
    assert vectors.grad is not None
    assert bool((vectors.grad.abs().sum(0) > 0).all())
