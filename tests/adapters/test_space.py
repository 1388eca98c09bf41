"""Parameter spaces: counting, equality, flat vectors, banks told from single adapters, values that do not fit."""

import pytest
import torch
from torch import nn

from portraitist.adapters import Adapter, Space, find_layers, stack
from portraitist.errors import BadConfig


@pytest.fixture
def components() -> dict[str, nn.Module]:
    return {"m": nn.ModuleDict({"z": nn.Linear(6, 4), "a": nn.Conv2d(3, 5, 3)})}


@pytest.fixture
def space(components: dict[str, nn.Module]) -> Space:
    return Space.of("lora", {"rank": 2}, find_layers(components, ["m.*"]))


def draw(space: Space, seed: int) -> Adapter:
    generator = torch.Generator().manual_seed(seed)
    return Adapter(
        space,
        {
            name: {key: torch.randn(shape, generator=generator) for key, shape in shapes.items()}
            for name, shapes in space.shapes.items()
        },
    )


def test_numbers_are_counted_without_values(space: Space) -> None:
    assert space.count == 2 * (6 + 4) + 2 * (3 * 9 + 5)
    assert draw(space, 0).count() == space.count
    assert stack([draw(space, 0), draw(space, 1)]).count() == 2 * space.count


def test_spaces_are_equal_whatever_order_their_layers_were_found_in(space: Space) -> None:
    turned = Space.of("lora", {"rank": 2}, list(reversed(space.specs.values())))
    assert list(turned.layers) != list(space.layers)
    assert (turned, hash(turned)) == (space, hash(space))
    adapter = draw(space, 0)
    assert torch.equal(turned.flatten(adapter.values), space.flatten(adapter.values))
    assert space.only(["m.a"]) != space
    assert Space.of("lora", {"rank": 3}, space.specs.values()) != space


def test_flat_vectors_hold_everything(space: Space) -> None:
    adapter = draw(space, 0)
    flat = space.flatten(adapter.values)
    assert flat.shape == (space.count,)
    back = space.unflatten(flat)
    for name, tensors in adapter.values.items():
        for key, value in tensors.items():
            assert torch.equal(back[name][key], value)
    bank = stack([adapter, draw(space, 1)])
    both = space.flatten(bank.values)
    assert both.shape == (2, space.count)
    assert torch.equal(both[0], flat)
    assert space.bank_size(space.unflatten(both)) == 2
    with pytest.raises(BadConfig, match=rf"holds {space.count} numbers, not \(3,\)"):
        space.unflatten(torch.zeros(3))


def test_gradients_pass_through_flat_vectors(space: Space) -> None:
    flat = torch.randn(3, space.count, requires_grad=True)
    values = space.unflatten(flat)
    sum(value.square().sum() for tensors in values.values() for value in tensors.values()).backward()  # type: ignore[union-attr]
    torch.testing.assert_close(flat.grad, 2 * flat.detach())


def test_values_that_do_not_fit_are_named(space: Space) -> None:
    values = draw(space, 0).values
    assert space.check(values) is None
    assert space.check(stack([draw(space, 0)] * 3).values) == 3
    with pytest.raises(BadConfig, match=r"the space have different layers: m\.a"):
        space.check({"m.z": values["m.z"]})
    with pytest.raises(BadConfig, match=r"m\.z has the parameters down, up, not down"):
        space.check({**values, "m.z": {"down": values["m.z"]["down"]}})
    with pytest.raises(BadConfig, match=r"m\.z\.up has shape \(1, 4, 2\) where \(4, 2\) is needed"):
        space.check({**values, "m.z": {**values["m.z"], "up": torch.zeros(1, 4, 2)}})


def test_a_space_may_be_of_several_methods() -> None:
    components: dict[str, nn.Module] = {"m": nn.ModuleDict({"words": nn.Embedding(9, 4), "x": nn.Linear(4, 4)})}
    config = {"textual-inversion": {"token_ids": (3,)}, "lora": {"rank": 1}}
    spaces = [Space.of("textual-inversion+lora", config, find_layers(components, ["m.*"])) for _ in range(2)]
    assert spaces[0] == spaces[1]
    assert spaces[0].count == 4 + 8
