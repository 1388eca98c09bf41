import torch
from small_weights import layout, loras

from portraitist.hypernetworks.weights.statistics import Standard
from portraitist.hypernetworks.weights.vectors import WeightVectors


def test_standardised_loras_have_no_mean_and_unit_scatter_in_every_layer() -> None:
    vectors = loras(200)
    standard = Standard(layout())
    standard.fit(WeightVectors(vectors))
    found = standard.standardise(vectors)
    assert float(found.mean(0).abs().max()) < 1e-5
    for piece in layout().pieces:
        assert abs(float(found[:, piece.numbers].square().mean()) - 1) < 1e-4
    torch.testing.assert_close(standard.restore(found), vectors, atol=1e-5, rtol=1e-4)
    assert set(standard.by_layer()["unet.a.to_q"]) == {"up", "down"}


def test_numbers_that_never_change_are_not_blown_up() -> None:
    vectors = loras(20)
    first = layout().pieces[0].numbers
    vectors[:, first] = vectors[0, first]
    standard = Standard(layout())
    standard.fit(WeightVectors(vectors))
    assert float(standard.standardise(vectors)[:, first].abs().max()) < 1e-5
