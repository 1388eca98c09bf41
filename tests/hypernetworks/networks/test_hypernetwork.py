from dataclasses import replace

import torch

from portraitist.hypernetworks.networks.hypernetwork import Build, Hypernetwork

BUILD = Build({"whole": (1, 5)}, (3, 3, 2), 8, 2, 2, 4)


def seen(people: int = 2) -> dict[str, torch.Tensor]:
    return {"whole": torch.randn(people, 1, 1, 5, generator=torch.Generator().manual_seed(0))}


def build(build: Build) -> Hypernetwork:
    torch.manual_seed(0)
    return Hypernetwork(build)


def test_every_layer_gets_as_many_numbers_as_it_has() -> None:
    assert build(BUILD)(seen()).shape == (2, 8)


def test_numbers_are_nearly_but_not_quite_zero_at_the_start() -> None:
    numbers = build(BUILD)(seen())
    assert 0 < float(numbers.abs().max()) < 0.1


def test_each_iteration_adds_to_the_estimate() -> None:
    once, often = build(replace(BUILD, iterations=1)), build(BUILD)
    often.load_state_dict(once.state_dict())
    torch.testing.assert_close(often(seen()), 4 * once(seen()), rtol=0.2, atol=2e-3)
    assert not torch.equal(often(seen()), 4 * once(seen()))


def test_iterations_see_their_own_estimate() -> None:
    network = build(replace(BUILD, iterations=2))
    before = network(seen())
    with torch.no_grad():
        network.estimate.weight.mul_(100)
    assert not torch.allclose(before, network(seen()))


def test_people_do_not_mix() -> None:
    network, many = build(BUILD), seen(3)
    alone = network({name: values[1:2] for name, values in many.items()})
    torch.testing.assert_close(network(many)[1:2], alone)


def test_every_parameter_has_a_gradient() -> None:
    network = build(BUILD)
    unknown = torch.tensor([True, False])
    network(seen(), unknown).square().sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
