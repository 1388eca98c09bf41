from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from portraitist.bases import Base, load_base
from portraitist.errors import BadConfig, BaseMismatch
from portraitist.hypernetworks.identities.identity_set import IdentitySet
from portraitist.hypernetworks.material import Material
from portraitist.hypernetworks.settings import LossSettings, SightSettings
from portraitist.hypernetworks.sight import Sight

LOOK = SightSettings(encoders=(), latents=2)


class Counting(Sight):
    """Notes how many photos it is shown each time."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.looked: list[int] = []

    def see(self, images: Sequence[Image.Image], latents: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
        self.looked.append(len(images))
        return super().see(images, latents)


def sight(base: Base) -> Sight:
    return Sight.load(LOOK, base, "cpu")


def test_features_are_those_of_the_photos(base: Base, painted: IdentitySet, tmp_path: Path) -> None:
    material = Material.gather(painted, sight(base), tmp_path)
    found = material.features([[0, 4], [7, 2]])["latents"]
    pictures = [painted.picture(number) for number in (0, 4, 7, 2)]
    expected = sight(base).see(pictures)["latents"].unflatten(0, (2, 2))
    torch.testing.assert_close(found, expected, atol=2e-3, rtol=2e-3)
    assert material.shapes == {"latents": (4, 64)}


def test_photos_are_looked_at_once(base: Base, painted: IdentitySet, tmp_path: Path) -> None:
    counting = Counting(LOOK, base, [])
    Material.gather(painted, counting, tmp_path)
    assert sum(counting.looked) == 1 + 12
    Material.gather(painted, counting, tmp_path)
    assert sum(counting.looked) == 1 + 12 + 1, "one photo tells the shapes"


@pytest.fixture
def few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portraitist.hypernetworks.material._AT_ONCE", 4)


@pytest.mark.usefixtures("few_at_once")
def test_an_interrupted_look_goes_on(base: Base, painted: IdentitySet, tmp_path: Path) -> None:
    whole = Material.gather(painted, sight(base), tmp_path).features([[*range(12)]])["latents"]
    path = tmp_path / "checksums.txt"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:3]))
    values = np.load(tmp_path / "00.npy", mmap_mode="r+")
    values[8:] = 0
    values.flush()
    counting = Counting(LOOK, base, [])
    material = Material.gather(painted, counting, tmp_path)
    torch.testing.assert_close(material.features([[*range(12)]])["latents"], whole)
    assert counting.looked == [1, 4], "what was done before is not done again"


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-len(content) // 3] ^= 1
    path.write_bytes(content)


@pytest.mark.usefixtures("few_at_once")
@pytest.mark.parametrize("damage", [flip, Path.unlink, lambda path: path.write_bytes(b"\x93NUMPY")])
def test_features_that_are_not_as_they_were_written_are_made_again(
    base: Base, painted: IdentitySet, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    whole = Material.gather(painted, sight(base), tmp_path).features([[*range(12)]])["latents"]
    damage(tmp_path / "00.npy")
    with pytest.warns(UserWarning, match="was damaged; it is made again") as told:
        material = Material.gather(painted, sight(base), tmp_path)
    assert len(told) == 1
    torch.testing.assert_close(material.features([[*range(12)]])["latents"], whole, atol=0, rtol=0)


def test_features_of_others_are_not_those_of_these(base: Base, painted: IdentitySet, tmp_path: Path) -> None:
    Material.gather(painted.first(2), sight(base), tmp_path)
    material = Material.gather(painted, sight(base), tmp_path)
    expected = sight(base).see([painted.picture(11)])["latents"][0]
    torch.testing.assert_close(material.features([[11]])["latents"][0, 0], expected, atol=2e-3, rtol=2e-3)


def test_the_photo_to_make_is_not_among_those_seen(base: Base, painted: IdentitySet, tmp_path: Path) -> None:
    material = Material.gather(painted, sight(base), tmp_path)
    draws = material.draw(np.random.default_rng(0), 200, LossSettings(photos=3))
    assert all(draw.target not in draw.references for draw in draws)
    assert all(set((*draw.references, draw.target)) <= set(draw.entry.numbers) for draw in draws)
    assert len({draw.entry.key for draw in draws}) == 4


def test_the_photo_to_make_is_the_one_seen_in_the_paper(base: Base, painted: IdentitySet, tmp_path: Path) -> None:
    material = Material.gather(painted, sight(base), tmp_path)
    draws = material.draw(np.random.default_rng(0), 50, LossSettings(other_photo=False))
    assert all(draw.references == (draw.target,) for draw in draws)
    assert len({draw.target for draw in draws}) > 8


def test_a_step_sees_as_many_photos_of_everybody(base: Base, painted: IdentitySet, tmp_path: Path) -> None:
    material = Material.gather(painted, sight(base), tmp_path)
    rng, seen = np.random.default_rng(0), set()
    for _ in range(20):
        counts = {len(draw.references) for draw in material.draw(rng, 5, LossSettings(photos=3))}
        assert len(counts) == 1
        seen |= counts
    assert seen == {1, 2, 3}


def test_sets_of_other_bases_and_empty_ones_are_refused(
    painted: IdentitySet, base: Base, other_base_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(BaseMismatch, match="give --base"):
        Material.gather(painted, sight(load_base(other_base_folder)), tmp_path)
    with pytest.raises(BadConfig, match="no identities"):
        Material.gather(painted.of_kinds(["dog"]), sight(base), tmp_path)
