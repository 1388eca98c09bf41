"""Training pictures: the same in every run, as wide as a judge sees them."""

import torch

from portraitist.toyland.judges.config import JudgesConfig
from portraitist.toyland.judges.stream import as_seen, blur, disturb, sample_batch


def test_a_steps_pictures_follow_from_its_number() -> None:
    first, again, other = (sample_batch(6, 1, step) for step in (0, 0, 1))
    assert first == again != other
    assert {subject.identity.split for spec in first for subject in spec.subjects} == {"train"}
    assert {len(spec.subjects) for spec in sample_batch(20, 1, 0, count=1)} == {1}


def test_pictures_are_means_of_pixels() -> None:
    pictures = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)
    torch.testing.assert_close(as_seen(pictures, 8), pictures.float() / 127.5 - 1, atol=1e-5, rtol=0)
    expected = pictures[0, 0, :2, 4:6].float().mean() / 127.5 - 1
    torch.testing.assert_close(as_seen(pictures, 4)[0, 0, 0, 2], expected)
    assert as_seen(pictures, 6).shape == (2, 3, 6, 6)
    assert as_seen(pictures, 16).shape == (2, 3, 16, 16)


def test_disturbed_pictures_are_the_same_pictures(config: JudgesConfig) -> None:
    pixels = torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    one, again, other = (disturb(pixels, config.examiner, step) for step in (0, 0, 1))
    torch.testing.assert_close(one, again)
    assert one.shape == pixels.shape
    assert not torch.equal(one, other)


def test_a_blur_keeps_flat_pictures() -> None:
    flat = torch.full((1, 3, 9, 9), 0.3)
    torch.testing.assert_close(blur(flat), flat)
    spot = torch.zeros(1, 1, 9, 9)
    spot[..., 4, 4] = 1
    assert 0 < float(blur(spot)[..., 4, 4]) < 0.3
    assert float(blur(spot).sum()) > 0.999
