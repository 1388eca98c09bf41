"""Twins among many photos: the same as comparing all pairs of looks."""

import torch
from drawn_photos import draw_photo
from PIL import ImageOps

from portraitist.hypernetworks.identities.twins import find_twins, looks
from portraitist.preparation.duplicates import Look
from portraitist.preparation.preparing import Criteria


def test_a_copy_and_a_mirror_image_are_found_and_the_first_of_them_is_not() -> None:
    first, other = draw_photo(0), draw_photo(1)
    pictures = [first, other, ImageOps.mirror(first), first.resize((64, 52)), draw_photo(2)]
    first_twins = find_twins(looks(pictures))
    assert first_twins[:3] == [None, None, 0]
    assert first_twins[3] in (0, 2), "both look like it"
    assert first_twins[4] is None


def test_distances_are_those_of_looks() -> None:
    pictures = [draw_photo(seed) for seed in range(6)]
    hashes = looks(pictures)
    known = [Look.of(picture) for picture in pictures]
    for phash in (20, 26, 30):
        nearest: list[int | None] = []
        for number, look in enumerate(known):
            apart = {other: look.distances(known[other]) for other in range(number)}
            alike = {other: sum(bits) for other, bits in apart.items() if bits[0] <= phash}
            nearest.append(min(alike, key=alike.__getitem__) if alike else None)
        assert find_twins(hashes, Criteria(phash=phash, dhash=-1)) == nearest
    assert find_twins(torch.zeros(0, 4, 8, dtype=torch.uint8)) == []
