"""Codecs squeeze as far as they say, and can be trained to restore what they squeezed."""

import pytest
import torch
from small_weights import layout, loras

from portraitist.errors import BadConfig
from portraitist.hypernetworks.difflora.codecs import ConvolutionalCodec, PrincipalCodec, build_codec
from portraitist.hypernetworks.difflora.losses import reconstruction_losses
from portraitist.hypernetworks.difflora.settings import (
    CodecSettings,
    ConvolutionSettings,
    PrincipalSettings,
    TokenSettings,
)
from portraitist.hypernetworks.weights.statistics import Standard
from portraitist.hypernetworks.weights.vectors import WeightVectors

CONVOLUTIONS = ConvolutionSettings(kind="convolutions", strides=(3, 4), channels=(16, 16), gamma=1.0)
TOKENS = TokenSettings(kind="tokens", ratio=12, latents=3, width=16, blocks=1, heads=2)


@pytest.mark.parametrize("settings", [CONVOLUTIONS, TOKENS])
@pytest.mark.parametrize("shared_a", [False, True])
def test_what_is_squeezed_is_restored_after_training(settings: CodecSettings, shared_a: bool) -> None:
    torch.manual_seed(0)
    form, vectors = layout(shared_a), loras(32, shared_a=shared_a)
    standard = Standard(form)
    standard.fit(WeightVectors(vectors))
    known = standard.standardise(vectors)
    codec = build_codec(settings, form)
    assert codec.encode(known).shape == (32, codec.size)
    assert codec.decode(codec.encode(known)).shape == known.shape
    assert codec.ratio == form.count / codec.size
    optimizer = torch.optim.AdamW(codec.parameters(), 5e-3)
    losses = []
    for _ in range(60):
        found = reconstruction_losses(settings, form, standard, codec.decode(codec.encode(known)), known)
        found["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(found["loss"].detach()))
    assert losses[-1] < 0.5 * losses[0]


def test_the_papers_strides_squeeze_three_hundred_times() -> None:
    settings = ConvolutionSettings(kind="convolutions", channels=(2, 2, 2, 2))
    codec = ConvolutionalCodec(settings, 5_806_080)
    assert codec.size == 19_354
    assert round(codec.ratio, 2) == 299.99
    with pytest.raises(BadConfig, match="has 4 stages"):
        ConvolutionalCodec(ConvolutionSettings(kind="convolutions", channels=(2,)), 600)


def test_principal_components_restore_what_has_few_directions() -> None:
    vectors = loras(30, directions=3)
    standard = Standard(layout())
    standard.fit(WeightVectors(vectors))
    known = standard.standardise(vectors)
    codec = PrincipalCodec(PrincipalSettings(kind="principal", ratio=24), layout().count)
    codec.fit(WeightVectors(known))
    assert (codec.size, codec.is_trained) == (3, False)
    torch.testing.assert_close(codec.decode(codec.encode(known)), known, atol=1e-3, rtol=1e-3)
    unseen = standard.standardise(loras(5, seed=7, directions=3))
    torch.testing.assert_close(codec.decode(codec.encode(unseen)), unseen, atol=1e-2, rtol=1e-2)
    identity = codec.components @ codec.components.T
    torch.testing.assert_close(identity, torch.eye(3), atol=1e-4, rtol=0)
