import torch

from portraitist.hypernetworks.kinds import KnownKinds


def known() -> KnownKinds:
    generator = torch.Generator().manual_seed(0)
    cats, robots = (torch.eye(8)[axis] + 0.1 * torch.randn(200, 8, generator=generator) for axis in (0, 1))
    return KnownKinds.learn(torch.cat([cats, robots]), ["cat"] * 200 + ["robot"] * 200)


def test_what_looks_like_its_kind_is_fine() -> None:
    assert known().warning(torch.eye(8)[0], "cat") is None


def test_another_kind_is_named() -> None:
    assert known().warning(5 * torch.eye(8)[1], "cat") == "the photo looks like a robot, not a cat; give --class robot"


def test_what_looks_like_nothing_known_is_said() -> None:
    line = known().warning(torch.eye(8)[5], "cat")
    assert line is not None
    assert "nothing the hypernetwork was trained on (cat, robot)" in line


def test_a_kind_that_was_not_learnt_is_not_judged_by_others() -> None:
    assert known().warning(torch.eye(8)[0], "dog") is None


def test_it_is_kept_in_a_file() -> None:
    first = known()
    again = KnownKinds.of(first.names, {name: value.half() for name, value in first.tensors().items()})
    assert again.names == first.names
    torch.testing.assert_close(again.means, first.means, atol=1e-3, rtol=0)
