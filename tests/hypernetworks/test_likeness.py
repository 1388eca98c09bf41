import pytest
import torch
from painted_set import paint

from portraitist.adapters import Adapter, Space, find_layers
from portraitist.bases import Base
from portraitist.evaluation.encoders import embed_images, load_encoder
from portraitist.hypernetworks.likeness import bank_likeness, likeness_kept
from portraitist.training.blank_adapters import resolve_layers


def test_every_adapter_of_a_bank_is_judged_by_its_own_pictures(base: Base) -> None:
    space = Space.of("lora", {"rank": 1}, find_layers(base.components, resolve_layers(base, "attention")))
    numbers = torch.randn(2, space.count, generator=torch.Generator().manual_seed(0))
    encoder = load_encoder("toyland-dino", "cpu")
    photos = [embed_images(encoder, [paint(who, photo, 32) for photo in range(2)]) for who in range(2)]

    def judged(rows: torch.Tensor) -> list[float]:
        bank = Adapter(space, space.unflatten(rows))
        return bank_likeness(base, bank, ["a cat"] * len(rows), encoder, photos[: len(rows)], seeds=(0, 1))

    both, alone = judged(numbers), judged(numbers[:1])
    assert both[0] == pytest.approx(alone[0], abs=2e-2)
    assert all(-1 <= each <= 1 for each in both)
    assert not any("forward" in vars(module) for module in base.family.denoiser.modules())


def test_the_share_of_likeness_that_is_kept() -> None:
    assert likeness_kept([0.4, 0.5], [0.4, 0.5], [0.1, 0.1]) == 1.0
    assert likeness_kept([0.1, 0.1], [0.4, 0.5], [0.1, 0.1]) == 0.0
    assert likeness_kept([0.2, 0.3], [0.3, 0.5], [0.1, 0.1]) == pytest.approx(0.5)
