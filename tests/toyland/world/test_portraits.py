"""Portraits: each of one identity, painted the same every time."""

import numpy as np
import torch

from portraitist.toyland.world.identities import KINDS
from portraitist.toyland.world.painting import Painter
from portraitist.toyland.world.portraits import choose_identities, paint_batches, paint_portraits, sample_portraits


def test_identities_are_different_and_of_every_kind() -> None:
    chosen = choose_identities(40, "test", seed=1)
    assert len(set(chosen)) == 40
    assert [who.kind for who in chosen[:4]] == list(KINDS)
    assert {who.split for who in chosen} == {"test"}
    assert chosen[:8] == choose_identities(8, "test", seed=1)
    assert {who.kind for who in choose_identities(9, "train", 1, ("person",))} == {"person"}


def test_portraits_are_in_order_and_vary() -> None:
    people = choose_identities(3, "train", 2, ("person",))
    specs = sample_portraits(people, 4, seed=3)
    assert [spec.subjects[0].identity for spec in specs] == [who for who in people for _ in range(4)]
    assert len({(spec.scene, spec.subjects[0].parts) for spec in specs}) == 12
    assert {spec.style for spec in sample_portraits(people, 4, seed=3, style="poster")} == {"poster"}


def test_painted_portraits_follow_from_who_they_are_of(painter: Painter) -> None:
    people = choose_identities(3, "train", 2)
    pictures = paint_portraits(painter, people, 2, seed=3, style="photo")
    assert pictures.shape == (3, 2, 3, 128, 128)
    assert pictures.dtype == torch.uint8
    again = paint_portraits(painter, people[1:2], 2, seed=3, style="photo")
    np.testing.assert_allclose(again[0].float(), pictures[1].float(), atol=1)


def test_any_number_is_painted(painter: Painter) -> None:
    specs = sample_portraits(choose_identities(2, "train", 2), 65, seed=4, style="photo")
    assert len(paint_batches(painter, specs)) == 130
