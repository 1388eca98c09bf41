import numpy as np
import pytest
import torch
from painted_set import paint

from portraitist.bases import Base
from portraitist.errors import BadConfig
from portraitist.evaluation.encoders import embed_images, load_encoder
from portraitist.hypernetworks.settings import SightSettings
from portraitist.hypernetworks.sight import Sight, first_embedding, patches


def test_encoders_tell_of_the_whole_and_of_places_and_the_base_of_latents(base: Base) -> None:
    settings = SightSettings(encoders=("toyland-clip",), latents=2)
    sight = Sight.load(settings, base, "cpu")
    pictures = [paint(0, 0, 32), paint(1, 0, 32)]
    seen = sight.see(pictures)
    assert {name: tuple(values.shape) for name, values in seen.items()} == {
        "toyland-clip": (2, 1, 128),
        "places of toyland-clip": (2, 16, 144),
        "latents": (2, 4, 4 * 4 * 4),
    }
    directions = torch.nn.functional.normalize(first_embedding(settings, seen).float(), dim=-1)
    torch.testing.assert_close(directions, embed_images(load_encoder("toyland-clip"), pictures), atol=2e-3, rtol=0)


def test_places_can_be_left_out(base: Base) -> None:
    settings = SightSettings(encoders=("toyland-clip",), places=False)
    assert list(Sight.load(settings, base, "cpu").see([paint(0, 0, 32)])) == ["toyland-clip"]


def test_a_patch_holds_what_is_in_its_place() -> None:
    latents = torch.arange(2 * 4 * 4).reshape(1, 2, 4, 4).float()
    cut = patches(latents, 2)
    np.testing.assert_array_equal(cut[0, 1].reshape(2, 2, 2), latents[0, :, :2, 2:])


def test_patches_must_fit() -> None:
    with pytest.raises(BadConfig, match="does not divide"):
        patches(torch.zeros(1, 4, 8, 8), 3)


def test_something_must_be_seen(base: Base) -> None:
    with pytest.raises(BadConfig, match="would see nothing"):
        Sight.load(SightSettings(encoders=()), base, "cpu")
