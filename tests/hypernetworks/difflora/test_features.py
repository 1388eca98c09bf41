import pytest
import torch
from torch import Tensor

from portraitist.errors import BadConfig
from portraitist.hypernetworks.difflora.features import MixedFeatures
from portraitist.hypernetworks.difflora.settings import Mixing

SHAPES = {"face": (1, 6), "image": (1, 4)}


def mixed(mixing: Mixing = "gate") -> MixedFeatures:
    torch.manual_seed(0)
    return MixedFeatures(("face", "image"), SHAPES, 8, mixing)


def seen(count: int = 3, photos: int = 2, seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(count, photos, *shape, generator=generator) for name, shape in SHAPES.items()}


def test_the_gate_weighs_face_and_picture_by_both() -> None:
    weights = mixed().weights(seen())
    assert weights.shape == (3, 2, 2)
    torch.testing.assert_close(weights.sum(-1), torch.ones(3, 2))
    other = {**seen(), "image": seen(seed=1)["image"]}
    assert not torch.allclose(mixed().weights(other), weights)


@pytest.mark.parametrize(("mixing", "unused"), [("face", "image"), ("image", "face")])
def test_ablations_see_one_alone(mixing: Mixing, unused: str) -> None:
    network = mixed(mixing)
    other = {**seen(), unused: seen(seed=1)[unused]}
    torch.testing.assert_close(network(seen()), network(other))
    assert not torch.allclose(network(seen()), network(seen(seed=1)))


def test_the_mean_is_that_of_both_alone() -> None:
    both = [mixed(each)(seen()) for each in ("face", "image")]  # type: ignore[arg-type]
    torch.testing.assert_close(mixed("mean")(seen()), sum(both) / 2)


def test_photos_have_no_order_and_can_be_taken_away() -> None:
    network, features = mixed(), seen()
    turned = {name: values.flip(1) for name, values in features.items()}
    torch.testing.assert_close(network(features), network(turned))
    found = network(features, torch.tensor([False, True, False]))
    torch.testing.assert_close(found[1], network.nobody)
    torch.testing.assert_close(found[0], network(features)[0])


def test_one_encoder_is_not_enough() -> None:
    with pytest.raises(BadConfig, match="one for faces, then one for pictures"):
        MixedFeatures(("face",), SHAPES, 8, "gate")
