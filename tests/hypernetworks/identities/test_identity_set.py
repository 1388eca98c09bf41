"""Sets opened: random access to everything, views, pairs."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from portraitist.errors import BadConfig, BadFile
from portraitist.hypernetworks.identities.identity_set import IdentitySet
from portraitist.hypernetworks.identities.shards import PHOTOS, shard_path

SCATTERED = [12, 0, 5, 6, 5, 3]


def test_who_is_in_it(small_set: Path) -> None:
    known = IdentitySet.open(small_set)
    assert len(known) == 5
    assert known.kinds == {"person": 3, "cat": 2}
    assert [entry.key for entry in known[:2]] == ["person-0", "cat-1"]
    assert known[3].numbers == range(6, 10)
    assert known[0].provenance == {"parts": {"hair": "black"}}
    assert known[2].photos[1].labels == {"scene": 5}


def test_photos_are_read_by_number_from_any_shard(small_set: Path) -> None:
    known = IdentitySet.open(small_set)
    photos = known.photos(SCATTERED)
    assert photos.shape == (6, 3, 8, 8)
    assert photos.dtype == torch.uint8
    assert photos[:, 0, 0, 0].tolist() == SCATTERED
    assert np.asarray(known.picture(4)).tolist() == np.full((8, 8, 3), 4).tolist()
    assert known.prompts([4, 6]) == ["a photo of a sks person in scene 4", "a photo of a sks cat in scene 6"]
    for missing in (-1, 13):
        with pytest.raises(BadConfig, match=f"no photo {missing}"):
            known.photos([missing])


def test_latents_have_prompts_and_framings(small_set: Path) -> None:
    latents = IdentitySet.open(small_set).latents(SCATTERED)
    assert latents.mean[:, 0, 0, 0].tolist() == SCATTERED
    torch.testing.assert_close(latents.deviation * 10, latents.mean)
    assert latents.prompts[2] == "a photo of a sks person in scene 5"
    assert latents.framings[0].target == (8, 8)


def test_features_are_of_a_named_encoder(small_set: Path) -> None:
    known = IdentitySet.open(small_set)
    assert known.features("toyland-identity", SCATTERED)[:, 0].tolist() == SCATTERED
    with pytest.raises(BadConfig, match="no features of toyland-clip; it keeps those of: toyland-identity"):
        known.features("toyland-clip", [0])


def test_targets_come_as_one_bank_in_the_order_asked_for(small_set: Path) -> None:
    known = IdentitySet.open(small_set)
    bank = known.targets([known[3], known[0], known[2], known[3]])
    assert bank.bank_size == 4
    assert bank.space.flatten(bank.values)[:, 0].tolist() == [3, 0, 2, 3]
    assert [entry.number for entry in known.with_targets()] == [0, 1, 2, 3]
    with pytest.raises(BadConfig, match=r"person-4 .* has no target"):
        known.targets([known[4]])


def test_views_keep_the_numbers_of_photos(small_set: Path) -> None:
    known = IdentitySet.open(small_set)
    assert [entry.number for entry in known.part("train")] == [0, 2, 3]
    assert [entry.number for entry in known.good()] == [0, 2, 3, 4]
    cats = known.good().of_kinds(["cat"])
    assert cats.photos(cats[0].numbers)[:, 0, 0, 0].tolist() == [6, 7, 8, 9]
    with pytest.raises(BadConfig, match="split into train, validation, test"):
        known.part("exam")
    with pytest.raises(BadConfig, match="no identities to be used for test"):
        known.of_kinds(["cat"]).part("test")


def test_pairs_are_two_different_photos_of_one_identity(small_set: Path) -> None:
    known = IdentitySet.open(small_set)
    pairs = known.pairs(np.random.default_rng(0), 400)
    assert {pair.entry.number for pair in pairs} == {0, 2, 3, 4}, "one has a single photo"
    for pair in pairs:
        assert pair.reference != pair.target
        assert {pair.reference, pair.target} <= set(pair.entry.numbers)
    # Of the same two photos only the first is taken.
    assert {photo for pair in pairs if pair.entry.number == 0 for photo in (pair.reference, pair.target)} == {0, 2}
    assert pairs == known.pairs(np.random.default_rng(0), 400)
    with pytest.raises(BadConfig, match="two different photos"):
        known.part("validation").pairs(np.random.default_rng(0), 1)


def test_a_damaged_shard_is_named(small_set: Path) -> None:
    path = shard_path(small_set, PHOTOS, 1)
    save_file({name: value[:2] for name, value in load_file(path).items()}, path)
    with pytest.raises(BadFile, match=r"00001\.safetensors has 2 rows"):
        IdentitySet.open(small_set).photos([9])
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(BadFile, match="missing or damaged"):
        IdentitySet.open(small_set).photos([4])
    path.unlink()
    with pytest.raises(BadFile, match="missing or damaged"):
        IdentitySet.open(small_set).photos([4])
    assert IdentitySet.open(small_set).photos([0]).shape == (1, 3, 8, 8)
