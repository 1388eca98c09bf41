"""Flags: what is not good is named, and what is good is not."""

from dataclasses import replace

from hand_made_set import entries

from portraitist.hypernetworks.identities.entry import Entry, TargetFacts
from portraitist.hypernetworks.identities.flags import flag_duplicates, flag_fits, flag_photos


def test_photos_that_show_nothing_are_named() -> None:
    first, single, *_ = entries()
    assert flag_photos(first, [40.0, 50.0, 60.0]) == ()
    assert flag_photos(first, [40.0, 0.5, 2.0]) == ("no subject: photo 1, 2 shows a single colour",)
    assert flag_photos(single, [40.0]) == ("only one photo",)
    assert flag_photos(replace(first, photos=(first.photos[0],) * 3), [40.0] * 3) == ("all of its photos are the same",)
    assert flag_photos(replace(first, photos=()), []) == ("none of its photos can be used",)


def test_an_identity_half_of_whose_photos_are_of_an_earlier_one_is_its_duplicate() -> None:
    _, _, _, fourth, fifth = entries()
    twins = ("person-0/1", "person-0/2", "cat-1/0", "")
    half = replace(fourth, photos=tuple(replace(p, twin=t) for p, t in zip(fourth.photos, twins, strict=True)))
    own = replace(fifth, photos=tuple(replace(photo, twin="person-4/0") for photo in fifth.photos))
    one = replace(fifth, photos=(replace(fifth.photos[0], twin="person-0/1"), *fifth.photos[1:]))
    assert [entry.flags for entry in flag_duplicates([half, own, one])] == [("looks like person-0",), (), ()]


def test_photos_that_are_drawn_as_everybodys_make_nobody_a_duplicate() -> None:
    _, _, _, fourth, _ = entries()
    for twins, flags in {
        ("person-0/0", "person-0/1", "", "person-0/3"): (),
        ("", "", "person-0/2", "person-0/3"): ("looks like person-0",),
    }.items():
        photos = tuple(replace(p, twin=t) for p, t in zip(fourth.photos, twins, strict=True))
        (only,) = flag_duplicates([replace(fourth, photos=photos)], alike=2)
        assert only.flags == flags


def test_targets_that_do_not_fit_are_named() -> None:
    usual = [fitted(0.5 + number / 100) for number in range(10)]
    poor, useless, diverged = fitted(0.95), fitted(1.1), fitted(0.5, diverged=True)
    flags = [entry.flags for entry in flag_fits([*usual, poor, useless, diverged])]
    assert flags[:10] == [()] * 10
    assert flags[10:] == [
        ("its target fits poorly: 0.95 of the base's error is left",),
        ("its target fits no better than the base",),
        ("its target diverged",),
    ]


def test_targets_that_draw_somebody_else_are_named() -> None:
    usual = [fitted(0.5, likeness=0.8 + number / 200) for number in range(10)]
    flags = [entry.flags for entry in flag_fits([*usual, fitted(0.5, likeness=0.1), fitted(0.5)])]
    assert flags[:10] == [()] * 10
    assert flags[10:] == [("what its target draws is unlike its photos: likeness 0.10",), ()]


def test_a_few_targets_are_not_compared() -> None:
    assert [entry.flags for entry in flag_fits([fitted(0.1), fitted(0.1), fitted(0.99)])] == [(), (), ()]


def fitted(share: float, diverged: bool = False, likeness: float | None = None) -> Entry:
    target = TargetFacts(0, 0, 0.1, 0.1 * share, 1.0, likeness, diverged)
    return replace(entries()[0], target=target, flags=())
