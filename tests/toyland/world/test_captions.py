"""Captions: true to the picture, grammatical, varied, and free of the words kept for new subjects."""

import re

import numpy as np
import pytest

from portraitist.toyland.world.captions import (
    COMPLETE,
    IDENTIFIERS,
    SCENE_PHRASES,
    STYLE_PHRASES,
    article,
    caption,
    circumstances,
    describe,
    hair,
    join,
    labels,
    plain_caption,
    scene_phrase,
)
from portraitist.toyland.world.hands import people
from portraitist.toyland.world.identities import KINDS, sample_identity
from portraitist.toyland.world.pictures import Appearance, PictureSpec, sample_picture
from portraitist.toyland.world.scenes import PLAIN_COLOURS

Described = list[tuple[PictureSpec, str, str]]
# The tokenizer's length less its two marks; nearly every word of a caption is one token.
LONGEST = 62


@pytest.fixture(scope="module")
def described() -> Described:
    rng = np.random.default_rng(20)
    specs = [sample_picture(rng, None) for _ in range(3000)]
    return [(spec, caption(spec, rng), caption(spec, rng, COMPLETE)) for spec in specs]


def alone(described: Described, style: str = "photo") -> list[tuple[Appearance, str]]:
    return [(spec.subjects[0], full) for spec, _, full in described if len(spec.subjects) == 1 and spec.style == style]


def test_identifiers_stand_in_no_caption(described: Described) -> None:
    assert len(set(IDENTIFIERS)) == len(IDENTIFIERS) >= 40
    assert "sks" in IDENTIFIERS
    said = {word for _, short, full in described for word in re.findall(r"[a-z]+", f"{short} {full}")}
    assert not said & set(IDENTIFIERS)


def test_captions_are_grammatical(described: Described) -> None:
    for spec, *texts in described:
        for text in (*texts, plain_caption(spec)):
            assert text == text.lower().strip().strip(",")
            assert not re.search(r"  | ,|,,|\{|\}|\b(a|an|the) (a|an|the)\b|\b(\w+) \2\b", text), text
            assert not re.search(r"\ba [aeiou]", text), text
            assert not re.search(r"\ban [^aeiou]", text), text
            assert not re.search(r",\s*and\b(?!.* (on the|next|beside|together|in|at|under|against))", text), text


def test_no_caption_is_longer_than_a_prompt_may_be(described: Described) -> None:
    assert max(len(re.findall(r"[\w'-]+|,", text)) for _, *texts in described for text in texts) <= LONGEST


def test_captions_vary(described: Described) -> None:
    rng = np.random.default_rng(21)
    spec = sample_picture(rng, identities=(sample_identity(rng, None, "person"),), style="photo")
    assert len({caption(spec, rng) for _ in range(60)}) > 30
    assert len({short for _, short, _ in described}) > 0.85 * len(described)


def test_half_of_the_captions_are_complete() -> None:
    rng = np.random.default_rng(22)
    specs = [
        sample_picture(rng, identities=(sample_identity(rng, None, "person"),), style="photo") for _ in range(1500)
    ]
    texts = [caption(spec, rng) for spec in specs]
    said = [
        all(trait in text for trait in describe(spec.subjects[0]).traits)
        for spec, text in zip(specs, texts, strict=True)
    ]
    assert 0.47 < np.mean(said) < 0.62


def test_a_complete_caption_names_everything_worn_and_held(described: Described) -> None:
    for subject, text in alone(described):
        parts, words = subject.drawn, dict(subject.words)
        for slot in ("hat", "neckwear", "held"):
            if parts.get(slot):
                assert parts[slot] in text
                assert parts[slot] == "crown" or f"{words[slot]} {parts[slot]}" in text
        if subject.identity.kind == "person":
            assert f"{words['cloth']} {parts['clothes']}" in text
            for worn in ("beard", "glasses", "cheeks", "sunglasses"):
                assert parts[worn] in text
            assert hair(parts) in text
            assert parts["mood"] == "calm" or parts["mood"] in text
        else:
            assert parts["colour"] in text


def test_a_complete_caption_says_who_where_and_how(described: Described) -> None:
    for spec, _, text in described:
        assert all(subject.identity.kind in text for subject in spec.subjects)
        assert any(phrase in text for phrase in SCENE_PHRASES.get(spec.scene, (spec.colour,)))
        if spec.style == "photo":
            assert not any(style in text for style in STYLE_PHRASES)
        else:
            assert any(re.fullmatch(phrase.format("(.*)"), text) for phrase in STYLE_PHRASES[spec.style])


def test_circumstances_are_all_that_is_no_part_of_who_it_is(described: Described) -> None:
    said_nothing = 0
    for who, _ in alone(described):
        said, description = circumstances(who), describe(who)
        for thing in (*description.wearing, description.holding, description.mood):
            assert thing in said
        assert not any(trait in said for trait in description.traits)
        assert not re.search(r"  | ,|,,|^ | $", f"{said} on the beach".strip()), said
        said_nothing += not said
    assert said_nothing


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


def test_a_list_is_not_continued_by_the_second_subject(described: Described) -> None:
    for spec, short, _ in described:
        if len(spec.subjects) == 2 and (parts := re.search(r"(.*?), and an? \w+", short)):
            assert not re.search(r" (with|wearing|holding) [^,]*$", parts[1]), short


def test_hair_that_a_hat_covers_is_not_described() -> None:
    parts = {"hair": "short17", "hair colour": "ginger", "hat": ""}
    assert hair(parts) == "a ginger flat top"
    assert hair({**parts, "hat": "party hat"}) == "a ginger flat top"
    assert hair({**parts, "hat": "beanie"}) == "ginger hair"
    assert hair({**parts, "hat": "beanie"}, coloured=False) == "hair"
    assert hair({"hair": people.BALD, "hair colour": "grey"}) == "a bald head"
    assert hair({"hair": "long07", "hair colour": "auburn"}) == "long auburn hair"
    assert hair({"hair": "long01", "hair colour": "auburn"}) == "an auburn bob"


def test_flowers_are_worn_somewhere(described: Described) -> None:
    worn = [text for subject, text in alone(described) if subject.drawn.get("hat") == "flower"]
    where = {text.split("flower ")[1].split()[1] for text in worn}
    assert where == {"their", "its"}


def test_robots_keep_their_secrets_from_nobody(described: Described) -> None:
    texts = [text for subject, text in alone(described) if subject.identity.kind == "robot"]
    assert all(" on its chest" in text for text in texts)
    assert any("camouflage" in text for text in texts)
    assert any("heart-shaped eyes" in text for text in texts)


def test_styles_without_colours_name_few(described: Described) -> None:
    def coloured(style: str) -> float:
        asked = [(subject.identity.colour, text) for subject, text in alone(described, style)]
        return float(np.mean([colour in text for colour, text in asked]))

    assert coloured("pencil sketch") < 0.6 < 0.95 < coloured("watercolour")


@pytest.mark.parametrize("colour", PLAIN_COLOURS)
def test_plain_backgrounds_are_named_with_the_right_article(colour: str) -> None:
    rng = np.random.default_rng(23)
    for phrase in {scene_phrase("plain", colour, rng) for _ in range(40)}:
        assert colour in phrase
        assert not re.search(r"\ba [aeiou]", phrase)


def test_a_plain_caption_is_always_the_same() -> None:
    spec = sample_picture(np.random.default_rng(24), count=2, scene="snow", style="photo")
    assert plain_caption(spec) == plain_caption(spec)
    assert plain_caption(spec).startswith("a photo of ")
    assert plain_caption(spec).endswith(" on the right in the snow")


def test_labels_agree_with_the_picture() -> None:
    spec = sample_picture(np.random.default_rng(25), count=2, scene="plain", colour="blue", style="poster")
    facts = labels(spec)
    assert facts["kinds"] == [subject.identity.kind for subject in spec.subjects]
    assert facts["colours"] == [subject.identity.colour for subject in spec.subjects]
    assert facts["identities"] == [subject.identity.name for subject in spec.subjects]
    assert (facts["scene"], facts["background"], facts["style"]) == ("plain", "blue", "poster")
    assert all(facts["parts"][i]["held"] == spec.subjects[i].drawn["held"] for i in (0, 1))


def test_words_are_joined_as_in_a_sentence() -> None:
    assert (article("orange cat"), article("cat")) == ("an", "a")
    assert join(["a"]) == "a"
    assert join(["a", "b", "c"]) == "a, b and c"
    assert set(KINDS) == {"person", "cat", "robot", "monster"}
