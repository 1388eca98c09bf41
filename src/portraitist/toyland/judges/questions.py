"""What can be asked about a picture, what is true of it, and prompts whose pictures must show it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from portraitist.randomness import numpy_generator
from portraitist.toyland.world.captions import COLOURED_STYLES, COMPLETE, caption, hair_style, plain_caption
from portraitist.toyland.world.colours import HAIR, pick
from portraitist.toyland.world.hands import people, worn
from portraitist.toyland.world.identities import KINDS, ROBOT_COLOURS
from portraitist.toyland.world.pictures import CENTRE, LEFT, PHOTO, RIGHT, Appearance, PictureSpec, sample_picture
from portraitist.toyland.world.scenes import SCENES
from portraitist.toyland.world.styles import STYLES

ALONE, PAIR = (CENTRE,), (LEFT, RIGHT)
NONE, BALD = "none", "bald"
# What is asked about a person who is alone, with the possible answers.
PARTS: dict[str, tuple[str, ...]] = {
    "hair": (*people.HAIR_STYLES, BALD),
    "hair colour": tuple(HAIR),
    "beard": (NONE, "beard"),
    "glasses": (NONE, "glasses"),
    "hat": (NONE, *worn.HATS),
    "held": (NONE, *worn.HELD),
}
# Every question with its possible answers; kind and colour are asked for each place a subject may stand at.
HEADS: dict[str, tuple[str, ...]] = {
    "number": ("one", "two"),
    "scene": SCENES,
    "style": tuple(STYLES),
    **{f"{place} kind": KINDS for place in (*ALONE, *PAIR)},
    **{f"{place} colour": ROBOT_COLOURS for place in (*ALONE, *PAIR)},
    **PARTS,
}
UNASKED = -1
_PAIRS, _PHOTOS = 0.3, 0.6
_OTHER_STYLES = tuple(style for style in STYLES if style != PHOTO)

# Answers by question; a question that is not asked is missing.
Answers = Mapping[str, str]


@dataclass(frozen=True)
class Question:
    """A prompt, and what a picture of it must show."""

    prompt: str
    answers: Answers


def truth(spec: PictureSpec) -> Answers:
    """Return every question that a picture answers; colours are not asked of styles without them."""
    places = ALONE if len(spec.subjects) == 1 else PAIR
    answers = {"number": HEADS["number"][len(places) - 1], "scene": spec.scene, "style": spec.style}
    coloured = spec.style in COLOURED_STYLES
    for place, subject in zip(places, spec.subjects, strict=True):
        answers[f"{place} kind"] = subject.identity.kind
        if subject.identity.kind == "robot" and coloured:
            answers[f"{place} colour"] = subject.identity.colour
    if places == ALONE and spec.subjects[0].identity.kind == "person":
        answers |= _parts(spec.subjects[0], coloured)
    return answers


def _parts(person: Appearance, coloured: bool) -> dict[str, str]:
    """Return what is seen of a person: nothing is asked of hair under a hat, nor of eyes behind sunglasses."""
    parts = person.drawn
    answers = {
        "beard": "beard" if parts["beard"] else NONE,
        "hat": parts["hat"] or NONE,
        "held": parts["held"] or NONE,
    }
    if not parts["sunglasses"]:
        answers["glasses"] = "glasses" if parts["glasses"] else NONE
    style = hair_style(parts["hair"]) or BALD
    if parts["hat"] not in worn.COVERING or style not in (*people.UNDER_HATS, BALD):
        answers["hair"] = style
        if coloured and style != BALD:
            answers["hair colour"] = parts["hair colour"]
    return answers


def draw_questions(count: int, seed: int) -> list[Question]:
    """Draw the questions of an exam; a shorter exam of the same seed asks the first of them."""
    return [_question(numpy_generator(seed, "exam question", index)) for index in range(count)]


def _question(rng: np.random.Generator) -> Question:
    """Draw a picture of identities that no training has seen, and say everything about it."""
    count = 2 if rng.random() < _PAIRS else 1
    style = PHOTO if rng.random() < _PHOTOS else pick(rng, _OTHER_STYLES)
    spec = sample_picture(rng, "validation", count=count, style=style)
    return Question(caption(spec, rng, COMPLETE) if count == 1 else plain_caption(spec), truth(spec))


def to_targets(answers: Sequence[Answers]) -> dict[str, Tensor]:
    """Return the index of the right answer of every head, ``[n]`` each; `UNASKED` where there is none."""
    return {
        head: torch.tensor([choices.index(row[head]) if head in row else UNASKED for row in answers])
        for head, choices in HEADS.items()
    }
