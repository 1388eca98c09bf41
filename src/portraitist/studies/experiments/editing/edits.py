"""Edits whose true answer is known: pictures of toyland with one thing changed, drawn before and after."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from portraitist.randomness import numpy_generator
from portraitist.toyland.first.world import artwork
from portraitist.toyland.first.world.captions import plain_caption
from portraitist.toyland.first.world.identities import NOTHING, ROBOT_COLOURS, Identity, sample_identity
from portraitist.toyland.first.world.pictures import CAT_ACCESSORIES, Appearance, PictureSpec, render, sample_picture
from portraitist.toyland.first.world.scenes import SCENES
from portraitist.toyland.first.world.styles import STYLES

PER_KIND = 8
_GLASSES = ("Sunglasses", "Prescription02", "Round", "Wayfarers")


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
        return render(self.before, size), render(self.after, size)


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
    scenes = [str(scene) for scene in rng.permutation([name for name in SCENES if name != "plain"])]
    before = sample_picture(rng, split, scene=scenes[0], style="photo", count=1)
    return before, before.at(scenes[1])


def _change_style(rng: np.random.Generator, split: str) -> tuple[PictureSpec, PictureSpec]:
    before = sample_picture(rng, split, style="photo", count=1)
    style = str(rng.choice([name for name in STYLES if name != "photo"]))
    return before, replace(before, style=style)


def _change_colour(rng: np.random.Generator, split: str) -> tuple[PictureSpec, PictureSpec]:
    """Paint a robot anew; its parts have the same names in every colour that has them."""
    while True:
        robot = sample_identity(rng, split, "robot")
        before = sample_picture(rng, split, identities=(robot,), style="photo")
        (subject,) = before.subjects
        for colour in rng.permutation([name for name in ROBOT_COLOURS if name not in (robot.colour, before.colour)]):
            painted = _paint(robot, str(colour))
            parts = {**dict(painted.parts), **dict(subject.parts)}
            if all(
                name in artwork.choices("robot", part, str(colour)) for part, name in parts.items() if part in _ROBOT
            ):
                return before, replace(before, subjects=(replace(subject, identity=painted),))


_ROBOT = ("body", "face", "eyes", "accessory", "mouth")


def _paint(robot: Identity, colour: str) -> Identity:
    return Identity("robot", tuple(sorted({**dict(robot.parts), "colour": colour}.items())))


def _add_accessory(rng: np.random.Generator, split: str) -> tuple[PictureSpec, PictureSpec]:
    """Give a cat something to wear, or a person glasses."""
    kind = str(rng.choice(("cat", "person")))
    before = sample_picture(rng, split, identities=(sample_identity(rng, split, kind),), style="photo")
    (subject,) = before.subjects
    choices = (
        list(CAT_ACCESSORIES)
        if kind == "cat"
        else [name for name in artwork.choices("person", "accessories") if name.split("-")[0] in _GLASSES]
    )
    without, worn = (_wear(subject, name) for name in (NOTHING, str(rng.choice(choices))))
    return replace(before, subjects=(without,)), replace(before, subjects=(worn,))


def _wear(subject: Appearance, accessory: str) -> Appearance:
    return replace(subject, parts=tuple(sorted({**dict(subject.parts), "accessories": accessory}.items())))


def _remove_subject(rng: np.random.Generator, split: str) -> tuple[PictureSpec, PictureSpec]:
    before = sample_picture(rng, split, style="photo", count=2)
    return before, replace(before, subjects=(before.subjects[int(rng.integers(2))],))


_DRAWERS: dict[str, Callable[[np.random.Generator, str], tuple[PictureSpec, PictureSpec]]] = {
    "scene": _change_scene,
    "style": _change_style,
    "colour": _change_colour,
    "accessory": _add_accessory,
    "removal": _remove_subject,
}
KINDS_OF_EDIT = tuple(_DRAWERS)
