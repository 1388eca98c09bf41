"""Distances of changes from their factors, against the changes themselves."""

import torch
from small_weights import layout, loras
from torch import Tensor

from portraitist.hypernetworks.weights.changes import compare, cosines


def dense(vectors: Tensor, shared_a: bool = False) -> Tensor:
    return torch.cat([(each.up @ each.down).flatten(1) for each in layout(shared_a).factors(vectors).values()], 1)


def test_errors_are_those_of_the_dense_changes() -> None:
    for shared_a in (False, True):
        found, wanted = loras(4, 1, shared_a=shared_a), loras(4, 2, shared_a=shared_a)
        errors = compare(layout(shared_a), found, wanted)
        one, other = dense(found, shared_a), dense(wanted, shared_a)
        torch.testing.assert_close(errors.error.float(), (one - other).norm(dim=1) / other.norm(dim=1))
        torch.testing.assert_close(errors.cosine.float(), torch.cosine_similarity(one, other))
        assert set(errors.by_layer) == {"unet.a.to_q", "unet.b.to_q"}


def test_what_is_met_exactly_has_no_error() -> None:
    same = loras(3)
    means = compare(layout(), same, same).means
    assert means["error"] < 1e-6
    assert means["cosine"] > 1 - 1e-6
    assert means["largest"] == 0.0


def test_the_largest_numbers_have_an_error_of_their_own() -> None:
    wanted = torch.zeros(1, layout().count)
    wanted[0, 7], wanted[0, 8] = 10.0, 1.0
    found = wanted.clone()
    found[0, 8] = 0.0  # not among the largest hundredth
    assert float(compare(layout(), found, wanted).largest) == 0.0
    found[0, 7] = 5.0
    assert float(compare(layout(), found, wanted).largest) == 0.5


def test_cosines_of_all_with_all_about_a_centre() -> None:
    for shared_a in (False, True):
        first, second = loras(3, 1, shared_a=shared_a), loras(5, 2, shared_a=shared_a)
        centre = torch.cat([first, second]).mean(0)
        one, other, middle = (dense(each, shared_a) for each in (first, second, centre.unsqueeze(0)))
        for found, a, b in (
            (cosines(layout(shared_a), first, second), one, other),
            (cosines(layout(shared_a), first, second, centre), one - middle, other - middle),
        ):
            torch.testing.assert_close(found, torch.cosine_similarity(a[:, None], b, dim=-1), atol=1e-5, rtol=1e-4)
