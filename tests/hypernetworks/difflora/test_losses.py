import torch
from small_weights import layout, loras

from portraitist.hypernetworks.difflora.losses import change_losses, preserving_weights, reconstruction_losses
from portraitist.hypernetworks.difflora.settings import ConvolutionSettings, TokenSettings
from portraitist.hypernetworks.weights.statistics import Standard


def test_larger_weights_of_a_layer_count_more() -> None:
    vectors = torch.zeros(1, layout().count)
    first, second = layout().pieces[0].numbers, layout().pieces[2].numbers
    vectors[0, first.start], vectors[0, first.start + 1] = -4.0, 1.0
    vectors[0, second.start] = 0.5
    found = preserving_weights(layout(), vectors, gamma=10.0, power=2.0)[0]
    assert float(found[first.start]) == 11.0
    assert float(found[first.start + 1]) == 1 + 10 * (1 / 4) ** 2
    assert float(found[second.start]) == 11.0
    assert float(found[-1]) == 1.0


def test_without_gamma_all_count_alike() -> None:
    assert bool((preserving_weights(layout(), loras(2), gamma=0.0, power=1.0) == 1).all())


def test_losses_of_changes_do_not_depend_on_the_factors() -> None:
    wanted = loras(3)
    angle, spectrum = change_losses(layout(), wanted, wanted, leading=2)
    assert float(angle) < 1e-5
    assert float(spectrum) < 1e-6
    turned = wanted.clone()
    for piece in layout().pieces:
        turned[:, piece.numbers] *= 2.0 if piece.factor == "up" else 0.5
    angle, spectrum = change_losses(layout(), turned, wanted, leading=2)
    assert float(angle) < 1e-5
    assert float(spectrum) < 1e-6


def test_the_angle_does_not_see_a_change_of_size_and_the_spectrum_does() -> None:
    wanted, twice = loras(3), loras(3)
    for piece in layout().pieces:
        if piece.factor == "up":
            twice[:, piece.numbers] *= 2.0
    angle, spectrum = change_losses(layout(), twice, wanted, leading=1)
    assert float(angle) < 1e-5
    torch.testing.assert_close(spectrum, torch.tensor(1.0), atol=1e-4, rtol=0)


def test_tokens_can_be_trained_by_the_weight_preserved_loss_alone() -> None:
    form, wanted, found = layout(), loras(3), loras(3, seed=1)
    standard = Standard(form)
    tokens = TokenSettings(
        kind="tokens", width=8, blocks=1, heads=1, angle=0.0, spectrum=0.0, numbers=1.0, gamma=3.0, power=2.0
    )
    convolutions = ConvolutionSettings(kind="convolutions", channels=(1,), gamma=3.0, power=2.0)
    one, other = (reconstruction_losses(each, form, standard, found, wanted) for each in (tokens, convolutions))
    torch.testing.assert_close(one["loss"], other["loss"])
    assert float(other["loss"]) > float(other["plain"])
