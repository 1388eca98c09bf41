"""Edits whose true answer is known: pictures of toyland with one thing changed, drawn before and after."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from portraitist.randomness import numpy_generator
from portraitist.toyland.world.captions import plain_caption
from portraitist.toyland.world.colours import ROBOT
from portraitist.toyland.world.hands.worn import COVERING
from portraitist.toyland.world.identities import Identity, sample_identity
from portraitist.toyland.world.painting import render_all
from portraitist.toyland.world.pictures import PHOTO, PictureSpec, sample_picture
from portraitist.toyland.world.scenes import PLACES
from portraitist.toyland.world.styles import STYLES

PER_KIND = 8


@dataclass(frozen=True)
class KnownEdit:
    """An edit with its true answer.

    Attributes:
        name: Kind and number, e.g. ``scene-3``.
        kind: What changes: one of `KINDS_OF_EDIT`.
        before: The picture to edit.
        after: What it should become; everything but the change is as before.
    """

    name: str
    kind: str
    before: PictureSpec
    after: PictureSpec

    @property
    def source(self) -> str:
        """Return the prompt that describes the picture."""
        return plain_caption(self.before)

    @property
    def target(self) -> str:
        """Return the prompt that describes the answer."""
        return plain_caption(self.after)

    def pictures(self, size: int) -> tuple[Image.Image, Image.Image]:
        """Paint the picture and the true answer."""
        before, after = render_all([self.before, self.after], size)
        return before, after


def draw_edits(per_kind: int = PER_KIND, seed: int = 0, split: str = "test") -> list[KnownEdit]:
    """Draw edits of every kind, with identities that toyland was not trained on.

    Args:
        per_kind: Edits of each kind.
        seed: Seed of all.
        split: Split of the identities; settings are chosen on ``validation``.
    """
    edits = []
    for kind, draw in _DRAWERS.items():
        for number in range(per_kind):
            before, after = draw(numpy_generator(seed, f"edits of {kind}", number), split)
            edits.append(KnownEdit(f"{kind}-{number}", kind, before, after))
    return edits


def _change_scene(rng: np.random.Generator, split: str) -> tuple[PictureSpec, PictureSpec]:
    scenes = [str(scene) for scene in rng.permutation(tuple(PLACES))]
    before = sample_picture(rng, split, scene=scenes[0], style=PHOTO, count=1)
    return before, before.at(scenes[1])


def _change_style(rng: np.random.Generator, split: str) -> tuple[PictureSpec, PictureSpec]:
    before = sample_picture(rng, split, style=PHOTO, count=1)
    style = str(rng.choice([name for name in STYLES if name != PHOTO]))
    return before, replace(before, style=style)


def _change_colour(rng: np.random.Generator, split: str) -> tuple[PictureSpec, PictureSpec]:
    """Paint a robot anew."""
    robot = sample_identity(rng, split, "robot")
    before = sample_picture(rng, split, identities=(robot,), style=PHOTO)
    (subject,) = before.subjects
    colour = str(rng.choice([name for name in ROBOT if name not in (robot.colour, before.colour)]))
    return before, replace(before, subjects=(replace(subject, identity=_paint(robot, colour, rng)),))


def _paint(robot: Identity, colour: str, rng: np.random.Generator) -> Identity:
    parts = tuple(sorted({**dict(robot.parts), "colour": colour}.items()))
    return replace(robot, parts=parts, colours=(("base", ROBOT[colour].draw(rng)),))


def _add_accessory(rng: np.random.Generator, split: str) -> tuple[PictureSpec, PictureSpec]:
    """Give a cat or a person something to wear that does not change their hair."""
    kind = str(rng.choice(("cat", "person")))
    while True:
        after = sample_picture(rng, split, identities=(sample_identity(rng, split, kind),), style=PHOTO)
        (subject,) = after.subjects
        worn = [part for part in _WORN if subject.drawn.get(part) and subject.drawn[part] not in COVERING]
        if worn:
            return replace(after, subjects=(subject.without(str(rng.choice(worn))),)), after


_WORN = ("hat", "neckwear", "sunglasses")


def _remove_subject(rng: np.random.Generator, split: str) -> tuple[PictureSpec, PictureSpec]:
    before = sample_picture(rng, split, style=PHOTO, count=2)
    return before, replace(before, subjects=(before.subjects[int(rng.integers(2))],))


_DRAWERS: dict[str, Callable[[np.random.Generator, str], tuple[PictureSpec, PictureSpec]]] = {
    "scene": _change_scene,
    "style": _change_style,
    "colour": _change_colour,
    "accessory": _add_accessory,
    "removal": _remove_subject,
}
KINDS_OF_EDIT = tuple(_DRAWERS)
