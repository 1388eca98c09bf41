"""Captions: true to the picture, grammatical, varied, and free of the words kept for new subjects."""

import re

import numpy as np
import pytest

from portraitist.toyland.first.world.captions import (
    COMPLETE,
    IDENTIFIERS,
    SCENE_PHRASES,
    STYLE_PHRASES,
    caption,
    exam_question,
    labels,
    scene_phrase,
)
from portraitist.toyland.first.world.identities import KINDS, ROBOT_COLOURS, Identity
from portraitist.toyland.first.world.pictures import PictureSpec, sample_picture
from portraitist.toyland.first.world.scenes import PLAIN_COLOURS, SCENES

Described = list[tuple[PictureSpec, str, str]]


@pytest.fixture(scope="module")
def described() -> Described:
    rng = np.random.default_rng(20)
    specs = [sample_picture(rng) for _ in range(1500)]
    return [(spec, caption(spec, rng), caption(spec, rng, COMPLETE)) for spec in specs]


def test_identifiers_stand_in_no_caption(described: Described) -> None:
    assert len(set(IDENTIFIERS)) == len(IDENTIFIERS) >= 32
    assert "sks" in IDENTIFIERS
    said = {word for _, short, full in described for word in re.findall(r"[a-z]+", f"{short} {full}")}
    assert not said & set(IDENTIFIERS)


def test_captions_are_grammatical(described: Described) -> None:
    for _, *texts in described:
        for text in texts:
            assert text == text.lower().strip()
            assert "  " not in text
            assert "{" not in text
            assert not re.search(r"\ba [aeiou]", text), text
            assert not re.search(r"\ban [^aeiou]", text), text


def test_captions_vary(described: Described) -> None:
    spec = described[0][0]
    rng = np.random.default_rng(21)
    assert len({caption(spec, rng) for _ in range(60)}) > 20
    assert len({short for _, short, _ in described}) > 0.75 * len(described)


def test_a_complete_caption_says_everything(described: Described) -> None:
    for spec, _, full in described:
        facts = labels(spec)
        for kind in facts["kinds"]:
            assert kind in full
        phrases = SCENE_PHRASES.get(spec.scene, (spec.colour,))
        assert any(phrase in full for phrase in phrases)
        if spec.style == "photo":
            assert not any(f"{style} " in f"{full} " for style in ("sketch", "pixel", "sepia", "poster"))
        else:
            assert any(re.fullmatch(p.format("(.*)"), full) for p in STYLE_PHRASES[spec.style])


def test_left_is_left(described: Described) -> None:
    sided = [
        (spec, short)
        for spec, short, _ in described
        if "on the left" in short and len({subject.identity.kind for subject in spec.subjects}) == 2
    ]
    assert len(sided) > 50
    for spec, short in sided:
        left, right = (subject.identity.kind for subject in spec.subjects)
        first, second = (left, right) if short.index("on the left") < short.index("on the right") else (right, left)
        assert re.search(rf"\b{first}\b.*on the (left|right) and .*\b{second}\b", short), short


def test_short_captions_keep_colours_and_scenes_mostly(described: Described) -> None:
    robots = [
        (spec.subjects[0].identity.colour in short)
        for spec, short, _ in described
        if len(spec.subjects) == 1 and spec.subjects[0].identity.kind == "robot" and spec.style == "photo"
    ]
    assert 0.75 < np.mean(robots) < 0.97
    scenes = [
        any(p in short for p in SCENE_PHRASES[spec.scene]) for spec, short, _ in described if spec.scene != "plain"
    ]
    assert 0.85 < np.mean(scenes) < 0.95


def test_labels_agree_with_the_picture() -> None:
    spec = sample_picture(np.random.default_rng(22), count=2, scene="plain", colour="blue", style="poster")
    facts = labels(spec)
    assert facts["kinds"] == [subject.identity.kind for subject in spec.subjects]
    assert facts["identities"] == [subject.identity.name for subject in spec.subjects]
    assert (facts["scene"], facts["background"], facts["style"]) == ("plain", "blue", "poster")


@pytest.mark.parametrize("colour", PLAIN_COLOURS)
def test_plain_backgrounds_are_named_with_the_right_article(colour: str) -> None:
    rng = np.random.default_rng(23)
    for phrase in {scene_phrase("plain", colour, rng) for _ in range(40)}:
        assert colour in phrase
        assert not re.search(r"\ba [aeiou]", phrase)


def test_exam_questions_are_prompts_with_their_answers() -> None:
    rng = np.random.default_rng(24)
    questions = [exam_question(rng) for _ in range(400)]
    for question in questions:
        assert 1 <= len(question.kinds) <= 2
        assert set(question.kinds) <= set(KINDS)
        for kind, colour in zip(question.kinds, question.colours, strict=True):
            assert f"{colour} {kind}".strip() in question.prompt
            assert (colour in ROBOT_COLOURS) == (kind == "robot" and question.style in ("photo", "pixel art"))
        if question.scene != "plain":
            assert any(phrase in question.prompt for phrase in SCENE_PHRASES[question.scene])
        if len(question.kinds) == 2:
            left, right = question.prompt.split(" on the left and ")
            assert question.kinds[0] in left
            assert question.kinds[1] in right.split(" on the right")[0]
    assert {question.scene for question in questions} == set(SCENES)
    assert {question.style for question in questions} == {"photo", *STYLE_PHRASES}


def test_exam_prompts_name_nobody() -> None:
    rng = np.random.default_rng(25)
    for _ in range(100):
        assert not set(re.findall(r"\w+", exam_question(rng).prompt)) & set(IDENTIFIERS)


def test_a_plain_identity_is_described_in_plain_words() -> None:
    cat = Identity("cat", (("body", "body14"), ("eyes", "eyes0"), ("fur", "fur0")))
    spec = sample_picture(np.random.default_rng(26), identities=(cat,), scene="snow", style="photo")
    text = caption(spec, np.random.default_rng(27), COMPLETE)
    assert "a striped orange cat" in text
    assert any(phrase in text for phrase in SCENE_PHRASES["snow"])
