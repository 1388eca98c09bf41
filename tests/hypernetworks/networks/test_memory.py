import torch

from portraitist.hypernetworks.networks.memory import Memory

SHAPES = {"whole": (1, 5), "places": (4, 3)}


def features(seed: int, people: int = 2, photos: int = 3) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(people, photos, *shape, generator=generator) for name, shape in SHAPES.items()}


def test_every_token_of_every_photo_is_in_the_memory() -> None:
    assert Memory(SHAPES, 8)(features(0)).shape == (2, 3 * (1 + 4), 8)


def test_photos_have_no_order() -> None:
    memory = Memory(SHAPES, 8)
    there = features(0)
    turned = {name: values.flip(1) for name, values in there.items()}
    torch.testing.assert_close(memory(there).sum(1), memory(turned).sum(1))


def test_features_are_standardised_by_channel() -> None:
    memory, many = Memory(SHAPES, 8), features(1, 50)
    shifted = {name: 100 + 7 * values for name, values in many.items()}
    fresh = Memory(SHAPES, 8)
    fresh.load_state_dict(memory.state_dict())
    memory.fit(many)
    fresh.fit(shifted)
    torch.testing.assert_close(memory(many), fresh(shifted), atol=1e-3, rtol=1e-3)


def test_whoever_is_taken_away_is_nobody() -> None:
    memory = Memory(SHAPES, 8)
    seen = memory(features(0), torch.tensor([True, False]))
    torch.testing.assert_close(seen[0], memory.nobody.expand(15, -1))
    torch.testing.assert_close(seen[1], memory(features(0))[1])
