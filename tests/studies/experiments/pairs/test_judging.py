"""The judge of pictures of two, on rendered pictures whose truth is known."""

from collections.abc import Iterator, Sequence
from statistics import fmean

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from portraitist.randomness import numpy_generator
from portraitist.studies.experiments.pairs import judging
from portraitist.studies.experiments.pairs.identities import Pair, draw_pairs, photos_of
from portraitist.studies.experiments.pairs.judging import PairJudge, Seen, Verdict, _floor, decide, halves, resemblance
from portraitist.studies.experiments.pairs.recognisers import ColourRecogniser
from portraitist.toyland.world.identities import sample_identity
from portraitist.toyland.world.painting import render_all
from portraitist.toyland.world.pictures import PHOTO, sample_picture

SIZE = 32


@pytest.fixture(scope="module")
def pair() -> Pair:
    rng = numpy_generator(0, "a pair that colours tell apart")
    return Pair(sample_identity(rng, "test", "robot", "red"), sample_identity(rng, "test", "robot", "blue"))


@pytest.fixture(scope="module")
def judge(pair: Pair) -> Iterator[PairJudge]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judging, "_TRUE_PICTURES", 12)
        yield PairJudge(pair, ColourRecogniser(), SIZE, strangers=2)


def pictures(pair: Pair, *who: str, count: int = 12) -> list[Image.Image]:
    rng = numpy_generator(1, "pictures of a pair")
    identities = tuple(getattr(pair, name) for name in who)
    scenes = ("snow", "beach", "desert", "forest")
    drawn = [sample_picture(rng, identities=identities, scene=scenes[i % 4], style=PHOTO) for i in range(count)]
    return render_all(drawn, SIZE)


def test_pairs_are_of_one_class_and_of_two_in_turn() -> None:
    pairs = draw_pairs(10)
    assert [pair.same_class for pair in pairs] == [True, False] * 5
    assert all(who.split == "test" for pair in pairs for who in (pair.first, pair.second))
    assert all(pair.first.colour != pair.second.colour for pair in pairs if pair.same_class)
    assert len({pair.name for pair in pairs}) == 10
    assert draw_pairs(4) == pairs[:4], "more pairs leave the first as they are"
    others = draw_pairs(2, split="validation")
    assert all(who.split == "validation" for pair in others for who in (pair.first, pair.second))


def test_photos_are_of_one_person_in_several_scenes(pair: Pair) -> None:
    photos = photos_of(pair.first, 3, SIZE)
    assert [photo.size for photo in photos] == [(SIZE, SIZE)] * 3
    assert len({photo.tobytes() for photo in photos}) == 3
    assert photos_of(pair.first, 3, SIZE)[0].tobytes() == photos[0].tobytes()


def test_halves_are_whole() -> None:
    picture = Image.fromarray(np.arange(36, dtype=np.uint8).reshape(6, 6))
    left, right = (np.asarray(half) for half in halves(picture))
    assert left.shape == right.shape == (6, 3)
    assert left[0].tolist() == [0, 1, 2]
    assert right[5].tolist() == [33, 34, 35]


@pytest.mark.parametrize(
    ("left", "right", "sides", "verdict"),
    [
        ("first", "second", True, "both"),
        ("second", "first", True, "swapped"),
        ("second", "first", False, "both"),
        ("first", "mixture", False, "blended"),
        ("mixture", "mixture", False, "blended"),
        ("first", "first", False, "twice"),
        ("first", "nobody", True, "alone"),
        ("other", "second", True, "replaced"),
        ("other", "nobody", False, "neither"),
    ],
)
def test_halves_decide(left: Seen, right: Seen, sides: bool, verdict: Verdict) -> None:
    assert decide(left, right, sides) == verdict


def test_strangers_are_looked_at_once_for_all_pairs(judge: PairJudge, pair: Pair) -> None:
    shared: dict[str, list[Tensor]] = {}
    first = PairJudge(pair, ColourRecogniser(), SIZE, strangers=2, looked_at=shared)
    assert list(shared) == ["robot"]
    assert len(shared["robot"]) == 2
    drawn = pictures(pair, "first", "second")
    assert first.judge(drawn, [True] * 12) == judge.judge(drawn, [True] * 12)
    shared["robot"] = [first._of_pair("references")["first"]]
    again = PairJudge(pair, ColourRecogniser(), SIZE, strangers=2, looked_at=shared)
    assert again._gallery[3][1] is shared["robot"][0]


def test_the_truth_is_found_as_far_as_colours_show_it(judge: PairJudge, pair: Pair) -> None:
    def count(verdict: Verdict, *who: str) -> int:
        return [each.verdict for each in judge.judge(pictures(pair, *who), [True] * 12)].count(verdict)

    assert count("both", "first", "second") >= 2
    assert count("swapped", "second", "first") >= 2
    assert count("both", "second", "first") == count("swapped", "first", "second") == 0
    assert count("twice", "first", "first") >= 2
    assert count("both", "first", "first") == 0
    found = judge.reliability
    assert found.likeness > found.separation > 0.05
    assert min(found.renders, found.collages) > max(found.one_stranger, found.two_strangers)


def test_separation_is_nothing_where_both_halves_show_the_same(judge: PairJudge, pair: Pair) -> None:
    def mean(*who: str, named: bool = True) -> tuple[float, float]:
        judged = judge.judge(pictures(pair, *who), [named] * 12)
        return fmean(each.likeness for each in judged), fmean(each.separation for each in judged)

    (right, apart), (twice, together), (wrong, swapped) = (
        mean(*who) for who in (("first", "second"), ("first", "first"), ("second", "first"))
    )
    assert right > twice > wrong
    assert apart > 0.05 > abs(together)
    assert swapped < -0.05
    assert mean("second", "first", named=False)[1] > 0.05


def test_halves_resemble_both() -> None:
    nearness = torch.tensor([[0.2, 0.6], [0.8, 0.4]])
    assert resemblance(nearness, sides_named=True) == pytest.approx((0.3, -0.4))
    assert resemblance(nearness, sides_named=False) == pytest.approx((0.7, 0.4))


def test_nobody_passes_for_the_pair_by_being_nearest(judge: PairJudge, pair: Pair) -> None:
    """A half of noise is nearest to somebody, or to a mixture, too."""
    crops = [half for picture in pictures(pair, "first", "second", count=4) for half in halves(picture)]
    rng = numpy_generator(2, "noise")
    noise = [Image.fromarray(rng.integers(0, 256, np.asarray(crop).shape, dtype=np.uint8)) for crop in crops]
    assert set(judge.see(noise)) <= {"other", "nobody"}


def test_references_have_been_through_the_autoencoder(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """An autoencoder that exchanges red and blue: the judge knows both by what it makes of them."""
    monkeypatch.setattr(judging, "_ROUNDS", 1)

    def restore(made: Sequence[Image.Image]) -> list[Image.Image]:
        return [Image.merge("RGB", picture.convert("RGB").split()[::-1]) for picture in made]

    judge = PairJudge(pair, ColourRecogniser(), SIZE, restore=restore, strangers=2)
    drawn = pictures(pair, "first", "first", count=6)
    restored, plain = (
        judge.see([half for picture in made for half in halves(picture)]) for made in (restore(drawn), drawn)
    )
    assert restored.count("first") >= 4
    assert plain.count("first") == 0


def test_a_mixture_is_seen_as_one(judge: PairJudge, pair: Pair) -> None:
    """Blend the two halves of rendered pictures."""
    made = [halves(picture) for picture in pictures(pair, "first", "second")]
    blended = [Image.blend(left, right, 0.5) for left, right in made]
    assert judge.see(blended).count("first") <= 3
    assert judge.see(blended).count("second") <= 3


def test_near_enough_is_nearer_than_strangers_or_as_near_as_ones_own() -> None:
    def at(*angles: float) -> Tensor:
        return torch.tensor([[np.cos(angle), np.sin(angle)] for angle in angles]).float()

    me = at(0.0, 0.0, 0.0)
    assert _floor(me, own=at(*[0.1] * 20), others=at(*[1.0] * 20)) == pytest.approx(np.cos(1.0), abs=1e-5)
    assert _floor(me, own=at(*[0.5] * 20), others=at(*[0.2] * 20)) == pytest.approx(np.cos(0.5), abs=1e-5)
