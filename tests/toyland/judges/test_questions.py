"""Questions: true of the picture, asked only where they can be answered, and said in the prompt."""

from dataclasses import replace

import numpy as np
import pytest

from portraitist.toyland.judges.questions import HEADS, NONE, PARTS, UNASKED, draw_questions, to_targets, truth
from portraitist.toyland.world.hands import people, worn
from portraitist.toyland.world.identities import Identity, sample_identity
from portraitist.toyland.world.pictures import PictureSpec, sample_picture


@pytest.fixture(scope="module")
def specs() -> list[PictureSpec]:
    rng = np.random.default_rng(1)
    return [sample_picture(rng) for _ in range(1500)]


def person(**parts: str) -> PictureSpec:
    """Specify a photo of somebody with some parts."""
    rng = np.random.default_rng(2)
    who = sample_identity(rng, None, "person")
    fixed = {part: parts.get(part.replace(" ", "_"), name) for part, name in who.parts}
    who = Identity("person", tuple(sorted(fixed.items())), who.colours)
    spec = sample_picture(rng, identities=(who,), scene="room", style="photo")
    worn_now = {part: parts.get(part, "" if part in ("hat", "held", "sunglasses") else name)
                for part, name in spec.subjects[0].parts}  # fmt: skip
    return replace(spec, subjects=(replace(spec.subjects[0], parts=tuple(sorted(worn_now.items()))),))


def test_every_answer_is_a_possible_one(specs: list[PictureSpec]) -> None:
    for spec in specs:
        for head, answer in truth(spec).items():
            assert answer in HEADS[head], head


def test_every_answer_occurs(specs: list[PictureSpec]) -> None:
    rng = np.random.default_rng(3)
    people_alone = [sample_picture(rng, identities=(sample_identity(rng, None, "person"),)) for _ in range(2000)]
    given: dict[str, set[str]] = {head: set() for head in HEADS}
    for spec in (*specs, *people_alone):
        for head, answer in truth(spec).items():
            given[head].add(answer)
    assert given == {head: set(answers) for head, answers in HEADS.items()}


def test_places_are_those_of_the_subjects(specs: list[PictureSpec]) -> None:
    for spec in specs:
        answers = truth(spec)
        places = ["centre"] if len(spec.subjects) == 1 else ["left", "right"]
        assert [answers[f"{place} kind"] for place in places] == [subject.identity.kind for subject in spec.subjects]
        assert ("centre kind" in answers) == (answers["number"] == "one")


def test_parts_are_asked_of_a_single_person_only(specs: list[PictureSpec]) -> None:
    for spec in specs:
        alone = len(spec.subjects) == 1 and spec.subjects[0].identity.kind == "person"
        assert ("beard" in truth(spec)) == alone
        if spec.style in ("pencil sketch", "poster"):
            assert not any("colour" in head for head in truth(spec))


def test_a_person_is_read_part_by_part() -> None:
    spec = person(hair="short17", hair_colour="ginger", beard="goatee", glasses="", hat="crown", held="book")
    asked = {head: truth(spec)[head] for head in PARTS}
    assert asked == {
        "hair": "a {} flat top",
        "hair colour": "ginger",
        "beard": "beard",
        "glasses": NONE,
        "hat": "crown",
        "held": "book",
    }


def test_nothing_hidden_is_asked() -> None:
    assert "hair" not in truth(person(hair="short17", hat="beanie"))
    assert "hair colour" not in truth(person(hair="short17", hat="beanie"))
    assert truth(person(hair="long07", hat="beanie"))["hair"] == "long {} hair"
    assert "glasses" not in truth(person(glasses="", sunglasses="sunglasses"))
    bald = truth(person(hair=people.BALD, hair_colour="ginger"))
    assert bald["hair"] == "bald"
    assert "hair colour" not in bald
    assert "hair" not in truth(person(hair=people.BALD, hat="cap"))


def test_targets_are_the_places_of_answers() -> None:
    targets = to_targets([truth(person(hat="crown", held="")), {"number": "two", "scene": "beach"}])
    assert set(targets) == set(HEADS)
    assert targets["hat"].tolist() == [HEADS["hat"].index("crown"), UNASKED]
    assert targets["held"].tolist() == [0, UNASKED]
    assert targets["number"].tolist() == [0, 1]
    assert targets["left kind"].tolist() == [UNASKED, UNASKED]


def test_prompts_say_what_is_asked() -> None:
    questions = draw_questions(600, seed=1)
    assert questions[:50] == draw_questions(50, seed=1)
    for question in questions:
        answers, prompt = question.answers, question.prompt
        if answers["number"] == "two":
            left, right = prompt.split(" on the left and ")
            assert answers["left kind"] in left
            assert answers["right kind"] in right.split(" on the right")[0]
        for head, answer in answers.items():
            if head.endswith(" kind") or head == "hair colour" or (head.endswith(" colour") and answer):
                assert answer in prompt
        for head in ("hat", "held", "glasses", "beard"):
            if answers.get(head) == NONE:
                words = {"hat": tuple(worn.HATS), "held": ("holding",), "glasses": ("glasses",), "beard": people.BEARDS}
                said = prompt.replace("bow tie", "")
                assert not any(f" {word}" in said for word in words[head] if word != "flower"), prompt
            elif answers.get(head) and head in ("hat", "held"):
                assert answers[head] in prompt
        if "hair" in answers:
            assert all(word in prompt for word in answers["hair"].replace("a {}", "").replace("{}", "").split())
