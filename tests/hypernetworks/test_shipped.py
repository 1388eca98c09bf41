"""The hypernetworks that ship: they are for the base that ships, and what they make of a photo is of that photo."""

from collections.abc import Sequence
from statistics import fmean

import pytest

from portraitist.adapters import Adapter, attached
from portraitist.adapters.banks import stack
from portraitist.bases import Base, load_base
from portraitist.bases.examples import list_examples
from portraitist.evaluation.encoders import embed_images, load_encoder
from portraitist.hypernetworks.likeness import served_likeness
from portraitist.hypernetworks.predicting import Seer
from portraitist.hypernetworks.saved import list_hypernetworks, load_hypernetwork, locate, shipped_for
from portraitist.training.subjects import Subject

pytestmark = pytest.mark.weights
USUAL = "toyland"
# Of each, the class of the examples that it knows; None is all.
SHIPPED = {USUAL: None, "toyland-difflora": "person"}
LARGEST_BYTES = 12 * 2**20


@pytest.fixture(scope="module")
def base() -> Base:
    return load_base("toyland")


@pytest.fixture(scope="module", params=SHIPPED)
def seer(request: pytest.FixtureRequest, base: Base) -> Seer:
    return Seer(load_hypernetwork(request.param), base)


@pytest.fixture(scope="module")
def subjects(base: Base, seer: Seer) -> list[Subject]:
    side, noun = base.family.resolution, SHIPPED[seer.hypernetwork.name]
    examples = [each for each in list_examples() if noun in (None, each.class_noun)]
    return [Subject.from_folder(each.folder, each.class_noun, size=side) for each in examples]


def test_all_that_ship_are_here_and_one_of_all_kinds_is_the_usual_one(base: Base) -> None:
    assert set(list_hypernetworks()) == set(SHIPPED)
    assert shipped_for(base.fingerprint) == USUAL


def test_they_are_for_the_base_that_ships(base: Base, seer: Seer) -> None:
    assert seer.hypernetwork.description.base_facts.fingerprint == base.fingerprint
    assert sum(path.stat().st_size for path in locate(seer.hypernetwork.name).rglob("*")) <= LARGEST_BYTES


def test_the_examples_are_nothing_strange_to_it(seer: Seer, subjects: Sequence[Subject]) -> None:
    warnings = [seer.predict(each.photos[:1], each.class_noun).warnings for each in subjects]
    assert sum(not each for each in warnings) >= len(subjects) - 1, warnings


def test_the_photo_matters(base: Base, seer: Seer, subjects: Sequence[Subject]) -> None:
    """Pictures are more like the other photos of the one who is shown than those made from one of another's are."""
    adapters = [seer.predict(each.photos[:1], each.class_noun).adapter for each in subjects]
    swapped = [adapters[next_of_kind(subjects, row)] for row in range(len(subjects))]
    own, another = (likeness(base, each, subjects) for each in (adapters, swapped))
    assert own > another + 0.1


def next_of_kind(subjects: Sequence[Subject], row: int) -> int:
    order = (*range(row + 1, len(subjects)), *range(row))
    return next(other for other in order if subjects[other].class_noun == subjects[row].class_noun)


def likeness(base: Base, adapters: Sequence[Adapter], subjects: Sequence[Subject]) -> float:
    """Return how like the photos that were not shown pictures are that are made with predicted adapters."""
    judge = load_encoder("toyland-identity")
    photos = [embed_images(judge, subject.photos[1:]) for subject in subjects]
    prompts = [f"a photo of a sks {subject.class_noun} on the beach" for subject in subjects]
    with attached(base.components, stack(adapters)) as attachment:
        return fmean(served_likeness(base, attachment, prompts, judge, photos, steps=12))
