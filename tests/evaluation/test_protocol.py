"""Protocols: those that ship have the papers' sizes; one's own are read strictly."""

from pathlib import Path

import pytest

from portraitist.bases.examples import list_examples
from portraitist.errors import BadConfig
from portraitist.evaluation.protocol import Protocol, count_pictures, fill, list_protocols, load_protocol

MINE = """
name: mugs
title: My mugs
source: me
subjects_expected: 2
images_per_prompt: 4
class_noun: mug
folder_prompts: [places]
prompts:
  places: ["a photo of a {} on a desk", "a {} in the snow"]
metrics: [dino, clip_t]
encoders: {dino: facebook/dino-vits16, clip: openai/clip-vit-base-patch32}
"""


def own(folder: Path, text: str = MINE) -> Protocol:
    (folder / "mugs.yaml").write_text(text)
    return load_protocol(str(folder / "mugs.yaml"))


def test_the_shipped_protocols() -> None:
    assert list_protocols() == ["dreambench", "faces", "toyland"]


def test_dreambench_is_thirty_subjects_with_twenty_five_prompts_and_four_pictures() -> None:
    protocol = load_protocol("dreambench")
    assert len(protocol.subjects) == 30
    assert {len(set(protocol.templates(subject))) for subject in protocol.subjects} == {25}
    assert count_pictures(protocol, protocol.subjects) == 3000
    live = [subject.name for subject in protocol.subjects if "live" in subject.prompts]
    assert len(live) == 9
    assert len({subject.class_noun for subject in protocol.subjects}) == 15
    dog = next(subject for subject in protocol.subjects if subject.name == "dog6")
    texts = [fill(template, "sks dog") for template in protocol.templates(dog)]
    assert "a sks dog in a purple wizard outfit" in texts
    assert "a cube shaped sks dog" in texts


def test_faces_are_thirty_different_prompts() -> None:
    protocol = load_protocol("faces")
    subject = protocol.adopt("somebody")
    assert (subject.class_noun, protocol.subjects_expected) == ("person", 25)
    assert len(set(protocol.templates(subject))) == 30


def test_toyland_has_the_bundled_test_identities() -> None:
    protocol = load_protocol("toyland")
    assert {(s.name, s.class_noun) for s in protocol.subjects} == {(e.name, e.class_noun) for e in list_examples()}


def test_a_protocol_of_ones_own(tmp_path: Path) -> None:
    protocol = own(tmp_path)
    assert protocol.templates(protocol.adopt("red"))[1] == "a {} in the snow"
    assert protocol.adopt("red", "cup").class_noun == "cup"


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("images_per_prompt: 4", "images_per_promt: 4", "images_per_promt"),
        ("images_per_prompt: 4", "images_per_prompt: 0", "images_per_prompt"),
        ("a {} in the snow", "a mug in the snow", "exactly one {}"),
        ("[places]", "[place]", "no prompt list 'place'"),
        ("[dino, clip_t]", "[dino, clip_x]", "did you mean clip_"),
        ("class_noun: mug", "class_noun: ''", "class_noun"),
        ("name: mugs", "name: [", "cannot read the protocol"),
        ("{dino: facebook", "{dimo: facebook", "did you mean dino"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    assert old in MINE
    with pytest.raises(BadConfig, match=complaint) as caught:
        own(tmp_path, MINE.replace(old, new))
    assert "mugs.yaml" in str(caught.value)


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "mugs.yaml").write_bytes(MINE.encode("utf-16"))
    with pytest.raises(BadConfig, match=r"cannot read the protocol .*mugs\.yaml"):
        load_protocol(str(tmp_path / "mugs.yaml"))


def test_an_unknown_protocol_gets_a_hint() -> None:
    with pytest.raises(BadConfig, match="did you mean dreambench"):
        load_protocol("dreambensch")


def test_a_stranger_needs_a_class_of_the_protocol() -> None:
    protocol = load_protocol("dreambench")
    assert protocol.adopt("rex", "dog").prompts == ("places", "live", "properties")
    with pytest.raises(BadConfig, match="--class"):
        protocol.adopt("rex")


def test_articles_follow_their_words() -> None:
    assert fill("a photo of a {} in space", "orange") == "a photo of an orange in space"
    assert fill("a photo of a {} in space", "sks orange") == "a photo of a sks orange in space"
