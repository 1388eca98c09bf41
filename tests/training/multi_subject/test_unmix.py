"""The Unmix loss against a plain reading of its equation, and the attention that it leaves as it was."""

from pathlib import Path

import pytest
import torch
from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0
from torch import nn

from portraitist.bases import Base, load_base
from portraitist.bases.attention import map_size
from portraitist.errors import BadConfig
from portraitist.training.multi_subject.cut_mix import resize_masks, side_masks
from portraitist.training.multi_subject.unmix import MixedSample, UnmixLoss, attention_columns
from portraitist.training.tokens import phrase_positions

PROMPT = "a photo of a sks cat on the left and a olo robot on the right"


def predict(base: Base, prompts: list[str]) -> torch.Tensor:
    latents = torch.randn(len(prompts), *latent_size(base), generator=torch.Generator().manual_seed(1))
    conditions = base.family.encode_prompts(prompts)
    return base.family.predict(latents, torch.full((len(prompts),), 300), conditions)


def latent_size(base: Base) -> tuple[int, int, int]:
    unet = base.pipeline.unet.config
    return unet.in_channels, unet.sample_size, unet.sample_size


def samples(base: Base, *rows: int) -> list[MixedSample]:
    left, right = (phrase_positions(base.pipeline.tokenizer, PROMPT, word) for word in ("sks", "olo"))
    return [MixedSample(row, (left, right)) for row in rows]


def test_the_loss_is_the_equation(base: Base) -> None:
    """Compute the maps by hand from what diffusers' own processor of explicit probabilities gives."""
    maps: dict[str, torch.Tensor] = {}

    class Keeping(AttnProcessor):
        def __init__(self, name: str) -> None:
            self.name = name

        def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, temb=None):  # type: ignore[no-untyped-def]
            query = attn.head_to_batch_dim(attn.to_q(hidden_states))
            key = attn.head_to_batch_dim(attn.to_k(encoder_hidden_states))
            probabilities = attn.get_attention_scores(query, key)
            maps[self.name] = probabilities.unflatten(0, (len(hidden_states), attn.heads)).mean(1)
            return super().__call__(attn, hidden_states, encoder_hidden_states, attention_mask, temb)

    prompts = ["a photo of a sks cat", PROMPT]
    with torch.no_grad():
        unmix = UnmixLoss(base, latent_size(base))
        with unmix.watch(samples(base, 1)) as loss:
            predict(base, prompts)
        for name, attn in unmix.layers.items():
            attn.set_processor(Keeping(name))
        predict(base, prompts)
        for attn in unmix.layers.values():
            attn.set_processor(AttnProcessor2_0())
    (left,), (right,) = samples(base, 1)[0].tokens
    expected = []
    for attention in maps.values():
        height, width = map_size(attention.shape[1], latent_size(base)[1:])
        masks = resize_masks(side_masks(*latent_size(base)[1:]), (height, width)).flatten(1)
        for token, mask in ((left, masks[0]), (right, masks[1])):
            expected.append(((attention[1, :, token] * (1 - mask)) ** 2).sum() / (height * width))
    assert loss().item() == pytest.approx(torch.stack(expected).mean().item(), rel=1e-4)
    assert loss() > 0


def test_the_prediction_is_bit_for_bit_the_same_and_processors_are_put_back(base: Base) -> None:
    unmix = UnmixLoss(base, latent_size(base))
    before = {name: attn.processor for name, attn in unmix.layers.items()}
    with torch.no_grad():
        plain = predict(base, [PROMPT] * 2)
        with unmix.watch(samples(base, 0, 1)):
            watched = predict(base, [PROMPT] * 2)
    assert torch.equal(plain, watched)
    assert all(attn.processor is before[name] for name, attn in unmix.layers.items())


def test_only_mixed_samples_count_and_without_any_nothing_is_spent(base: Base) -> None:
    unmix = UnmixLoss(base, latent_size(base))
    with torch.no_grad():
        with unmix.watch([]) as nothing:
            assert not any("Tap" in type(attn.processor).__name__ for attn in unmix.layers.values())
            predict(base, [PROMPT])
        with unmix.watch(samples(base, 1)) as second:
            predict(base, ["a cat in space", PROMPT])
        with unmix.watch(samples(base, 0)) as first:
            predict(base, [PROMPT, "a cat in space"])
    assert nothing() == 0
    # Other noise, same prompt: the two are different samples, and both are looked at.
    assert first() > 0
    assert second() > 0
    assert first() != second()


def test_descending_the_loss_moves_attention_to_its_half(base: Base) -> None:
    unmix = UnmixLoss(base, latent_size(base))
    projections = [attn.to_k for attn in unmix.layers.values()]
    own = [projection.weight.detach().clone() for projection in projections]
    losses = []
    try:
        parameters = [projection.weight.requires_grad_(True) for projection in projections]
        optimizer = torch.optim.Adam(parameters, 0.02)
        for _ in range(8):
            with unmix.watch(samples(base, 0)) as loss:
                predict(base, [PROMPT])
            losses.append(loss())
            optimizer.zero_grad()
            losses[-1].backward()
            optimizer.step()
    finally:
        for projection, weight in zip(projections, own, strict=True):
            projection.weight.requires_grad_(False).copy_(weight)
    assert losses[-1] < 0.7 * losses[0]


def test_several_words_of_a_subject_weigh_as_much_as_one() -> None:
    query, key = torch.randn(1, 2, 6, 4), torch.randn(1, 2, 5, 4)
    maps = attention_columns(query, key, torch.tensor([[1, 3]]))
    assert maps.shape == (1, 6, 2)
    full = attention_columns(query, key, torch.arange(5)[None])
    assert torch.allclose(full.sum(-1), torch.ones(1, 6))
    assert torch.allclose(maps, full[..., [1, 3]])


def test_layers_are_chosen_by_name_and_size(base: Base) -> None:
    everything = UnmixLoss(base, latent_size(base)).layers
    middle = UnmixLoss(base, latent_size(base), layers=("mid_block.*",)).layers
    assert set(middle) == {name for name in everything if name.startswith("mid_block.")}
    assert 0 < len(middle) < len(everything)
    with pytest.raises(BadConfig, match=r"no cross-attention layer .* matches nothing\.\*.* its maps are "):
        UnmixLoss(base, latent_size(base), layers=("nothing.*",))
    with pytest.raises(BadConfig, match="at most 1 x 1"):
        UnmixLoss(base, latent_size(base), largest=1)


def test_a_base_without_cross_attention_is_named(tiny_base_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = load_base(tiny_base_folder)
    monkeypatch.setattr(base.pipeline, "unet", nn.Conv2d(4, 4, 1))
    with pytest.raises(BadConfig, match=r"base is a Stable Diffusion model: it has no cross-attention maps.*--cut-mix"):
        UnmixLoss(base, (4, 16, 16))
