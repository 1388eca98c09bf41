"""The canonical form keeps the change and does not depend on how it was factored."""

import pytest
import torch
from torch import Tensor

from portraitist.hypernetworks.weights.canonical import canonical, singular

RANK = 4


def factors(seed: int, out: int = 24, inputs: int = 16, bank: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(bank, out, RANK, generator=generator), torch.randn(bank, RANK, inputs, generator=generator)


@pytest.mark.parametrize(("out", "inputs"), [(24, 16), (8, 40), (3, 16), (24, 2)])
def test_the_change_is_kept(out: int, inputs: int) -> None:
    up, down = factors(0, out, inputs)
    new_up, new_down = canonical(up, down)
    assert (new_up.shape, new_down.shape, new_up.dtype) == (up.shape, down.shape, up.dtype)
    change = up @ down
    assert float((new_up @ new_down - change).norm() / change.norm()) < 1e-6


def test_it_does_not_depend_on_the_gauge() -> None:
    up, down = factors(1)
    mixing = torch.randn(RANK, RANK, generator=torch.Generator().manual_seed(2)) + 3 * torch.eye(RANK)
    first = canonical(up, down)
    second = canonical(up @ mixing, torch.linalg.inv(mixing) @ down)
    for one, other in zip(first, second, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
    again = canonical(*first)
    for one, other in zip(first, again, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_components_are_orthogonal_balanced_and_signed() -> None:
    up, down = canonical(*factors(3))
    sigma = up.square().sum(-2)
    torch.testing.assert_close(sigma, down.square().sum(-1))
    assert bool((sigma.diff(dim=-1) < 0).all())
    torch.testing.assert_close(up.mT @ up, torch.diag_embed(sigma), atol=1e-4, rtol=0)
    largest = up.gather(-2, up.abs().argmax(-2, keepdim=True))
    assert bool((largest > 0).all())


def test_singular_values_are_those_of_the_dense_change() -> None:
    up, down = factors(4)
    dense = torch.linalg.svdvals((up @ down).double())[..., :RANK]
    torch.testing.assert_close(singular(up, down)[1], dense)


def test_a_change_of_nothing_stays_nothing() -> None:
    up, down = factors(5)
    new_up, new_down = canonical(torch.zeros_like(up), down)
    assert float((new_up @ new_down).abs().max()) == 0.0
