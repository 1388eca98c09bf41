"""The hypernetwork that ships: it is for the base that ships, and what it makes of a photo is of that photo."""

from collections.abc import Sequence
from statistics import fmean

import pytest
from torch import Tensor

from portraitist.bases import Base, load_base
from portraitist.bases.examples import list_examples
from portraitist.evaluation.encoders import embed_images, load_encoder
from portraitist.hypernetworks.likeness import served_likeness
from portraitist.hypernetworks.networks.contract import Wish
from portraitist.hypernetworks.networks.predictor import Predictor
from portraitist.hypernetworks.predicting import Seer
from portraitist.hypernetworks.saved import load_hypernetwork, locate, shipped_for
from portraitist.training.subjects import Subject

pytestmark = pytest.mark.weights
SHIPPED = "toyland"
LARGEST_BYTES = 12 * 2**20


@pytest.fixture(scope="module")
def base() -> Base:
    return load_base("toyland")


@pytest.fixture(scope="module")
def seer(base: Base) -> Seer:
    return Seer(load_hypernetwork(SHIPPED), base)


@pytest.fixture(scope="module")
def subjects(base: Base) -> list[Subject]:
    side = base.family.resolution
    return [Subject.from_folder(each.folder, each.class_noun, size=side) for each in list_examples()]


def test_it_is_for_the_base_that_ships(base: Base) -> None:
    assert shipped_for(base.fingerprint) == SHIPPED
    assert sum(path.stat().st_size for path in locate(SHIPPED).rglob("*")) <= LARGEST_BYTES


def test_the_examples_are_nothing_strange_to_it(seer: Seer, subjects: Sequence[Subject]) -> None:
    warnings = [seer.predict(each.photos[:1], each.class_noun).warnings for each in subjects]
    assert sum(not each for each in warnings) >= len(subjects) - 1, warnings


def test_the_photo_matters(base: Base, seer: Seer, subjects: Sequence[Subject]) -> None:
    """Pictures are more like the other photos of the one who is shown than those made from one of another's are."""
    predictor = seer.hypernetwork.predictor
    assert isinstance(predictor, Predictor)
    seen = seer.sight.see([subject.photos[0] for subject in subjects])
    numbers = predictor.predict({name: values.unsqueeze(1) for name, values in seen.items()}, Wish())
    others = [next_of_kind(subjects, row) for row in range(len(subjects))]
    own, another = (likeness(base, predictor, rows, subjects) for rows in (numbers, numbers[others]))
    assert own > another + 0.1


def next_of_kind(subjects: Sequence[Subject], row: int) -> int:
    order = (*range(row + 1, len(subjects)), *range(row))
    return next(other for other in order if subjects[other].class_noun == subjects[row].class_noun)


def likeness(base: Base, predictor: Predictor, numbers: Tensor, subjects: Sequence[Subject]) -> float:
    """Return how like the photos that were not shown pictures are that are made with predicted adapters."""
    judge = load_encoder("toyland-identity")
    photos = [embed_images(judge, subject.photos[1:]) for subject in subjects]
    prompts = [f"a photo of a sks {subject.class_noun} on the beach" for subject in subjects]
    attachment = predictor.output.attach(base.components)
    try:
        predictor.output.feed(attachment, numbers)
        return fmean(served_likeness(base, attachment, prompts, judge, photos, steps=12))
    finally:
        attachment.detach()
