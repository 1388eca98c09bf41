import torch

from portraitist.hypernetworks.networks.memory import Memory, Projection

SHAPES = {"whole": (1, 5), "places": (4, 3)}


def features(seed: int, people: int = 2, photos: int = 3) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(people, photos, *shape, generator=generator) for name, shape in SHAPES.items()}


def test_every_token_of_every_photo_is_in_the_memory() -> None:
    tokens, means = Memory(SHAPES, 8)(features(0))
    assert tokens.shape == (2, 3 * (1 + 4), 8)
    assert means.shape == (2, 2 * 8)


def test_every_source_has_a_mean_of_its_own() -> None:
    tokens, means = Memory(SHAPES, 8)(features(0))
    torch.testing.assert_close(means[:, :8], tokens[:, : 3 * 4].mean(1))  # the places of three photos
    torch.testing.assert_close(means[:, 8:], tokens[:, 3 * 4 :].mean(1))


def test_photos_have_no_order() -> None:
    memory = Memory(SHAPES, 8)
    there = features(0)
    turned = {name: values.flip(1) for name, values in there.items()}
    for one, other in zip(memory(there), memory(turned), strict=True):
        torch.testing.assert_close(one.sum(1), other.sum(1))


def test_features_are_seen_alike_however_they_are_scaled() -> None:
    memory, many = Memory(SHAPES, 8), features(1, 50)
    shifted = {name: 100 + 7 * values for name, values in many.items()}
    fresh = Memory(SHAPES, 8)
    fresh.load_state_dict(memory.state_dict())
    memory.fit(many)
    fresh.fit(shifted)
    torch.testing.assert_close(memory(many), fresh(shifted), atol=1e-3, rtol=1e-3)


def test_what_varies_little_counts_as_much_as_what_varies_much() -> None:
    generator = torch.Generator().manual_seed(0)
    kinds = 10 * torch.randint(2, (4000, 1), generator=generator) * torch.tensor([1.0, 1.0, -1.0])
    values = kinds + torch.randn(4000, 3, generator=generator)
    projection = Projection(1, 3, 8)
    projection.fit(values[:, None])
    covariance = torch.cov(projection.whitened(values).T)
    assert covariance.diagonal().min() > 0.5
    torch.testing.assert_close(covariance, torch.diag(covariance.diagonal()), atol=0.3, rtol=0)


def test_a_channel_that_never_varies_does_no_harm() -> None:
    projection = Projection(1, 3, 8)
    projection.fit(torch.randn(50, 1, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 0.0, 2.0]))
    assert projection.whitened(torch.full((1, 1, 3), 0.1)).abs().max() < 10


def test_whoever_is_taken_away_is_nobody() -> None:
    memory = Memory(SHAPES, 8)
    tokens, means = memory(features(0), torch.tensor([True, False]))
    torch.testing.assert_close(tokens[0], memory.nobody.expand(15, -1))
    torch.testing.assert_close(means[0], memory.nobody[0].repeat(2))
    torch.testing.assert_close(tokens[1], memory(features(0))[0][1])
