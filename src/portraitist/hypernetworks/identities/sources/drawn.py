"""Identities drawn from toyland's world: as many as there are, each in several scenes."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from portraitist.bases.families import Framing
from portraitist.errors import BadConfig
from portraitist.hypernetworks.identities.sources.source import Identity, Photo, Words
from portraitist.randomness import derive_seed, numpy_generator
from portraitist.toyland.world import identities
from portraitist.toyland.world.captions import circumstances, labels, plain_caption, scene_phrase
from portraitist.toyland.world.examples import licences
from portraitist.toyland.world.identities import KINDS, sample_identity
from portraitist.toyland.world.painting import render_all
from portraitist.toyland.world.pictures import PHOTO, RESOLUTION, PictureSpec, sample_picture
from portraitist.toyland.world.scenes import PLAIN, PLAIN_COLOURS, SCENES

NAME = "toyland"
_WORLD = f"toyland of {RESOLUTION} pixels"
ALL = "all"
# As people say it.
PLURALS = {"person": "people", "cat": "cats", "robot": "robots", "monster": "monsters"}
# After so many draws in a row that were known already, a kind has no more.
_PATIENCE = 2000


def choose_kinds(words: Sequence[str]) -> tuple[str, ...]:
    """Return the kinds that words mean, in the world's order: ``people``, ``cat``, ``all``.

    Raises:
        BadConfig: If toyland has no such kind.
    """
    if ALL in words:
        return KINDS
    by_word = {word: kind for kind in KINDS for word in (kind, PLURALS[kind])}
    if unknown := [word for word in words if word not in by_word]:
        raise BadConfig(f"toyland has no kind {unknown[0]!r}; it has {', '.join(PLURALS.values())}, or {ALL}")
    return tuple(kind for kind in KINDS if kind in {by_word[word] for word in words})


class DrawnSource:
    """Identities of toyland, kinds taking turns; a longer source begins with those of a shorter one.

    Args:
        kinds: Which kinds of them.
        count: How many identities.
        split: ``train``, ``validation``, ``test`` or ``all``.
        photos: Photos of each.
        side: Of the photos, in pixels.
        words: How a base is asked for them.
        seed: Seed of everything drawn.
        alike: How many photos of each, the first ones, are drawn as everybody's are: in the same scenes, poses and
            clothes.
    """

    def __init__(
        self,
        kinds: tuple[str, ...],
        count: int,
        split: str,
        photos: int,
        side: int,
        words: Words,
        seed: int,
        alike: int = 0,
    ) -> None:
        self.kinds, self.count, self.split = kinds, count, split
        self.photos, self.side, self.words, self.seed, self.alike = photos, side, words, seed, alike

    @property
    def name(self) -> str:
        """Return the world and the kinds: ``toyland:people``."""
        return f"{NAME}:{ALL if self.kinds == KINDS else ','.join(PLURALS[kind] for kind in self.kinds)}"

    def identity(self, index: int) -> Identity:
        """Draw an identity's photos; the first of them are the same however many there are."""
        who = self.chosen[index]
        own = derive_seed(self.seed, f"photos of {who.name}")
        common = derive_seed(self.seed, "photos of everybody")
        seeds = [common if number < self.alike else own for number in range(self.photos)]
        specs = [self._sample(who, *self._moment(seed, number)) for number, seed in enumerate(seeds)]
        framing = Framing.whole(self.side, self.side)
        photos = []
        for number, (spec, each) in enumerate(zip(specs, render_all(specs, self.side), strict=True)):
            scene = scene_phrase(spec.scene, spec.colour, numpy_generator(seeds[number], "phrase", number))
            prompt = self.words.placed(who.kind, f"{circumstances(spec.subjects[0])} {scene}".strip())
            photos.append(Photo(np.array(each), plain_caption(spec), prompt, framing, labels(spec)))
        facts = {
            "world": _WORLD,
            "parts": dict(who.parts),
            "colour": who.colour,
            "licence": self._licences[who.kind],
        }
        plain = self.words.plain(who.kind)
        return Identity(who.name, who.kind, who.kind, who.split, own, plain, tuple(photos), facts)

    def _moment(self, seed: int, number: int) -> tuple[str, int]:
        """Return a photo's scene, another one each time as long as there are any, and the seed of all else."""
        scenes = numpy_generator(seed, "scenes").permutation(SCENES)
        return str(scenes[number % len(scenes)]), derive_seed(seed, "photo", number)

    def _sample(self, who: identities.Identity, scene: str, seed: int) -> PictureSpec:
        rng = numpy_generator(seed, "picture")
        # A wall in somebody's own colour would swallow them.
        colours = [colour for colour in PLAIN_COLOURS if colour != who.colour]
        colour = str(rng.choice(colours)) if scene == PLAIN else None
        return sample_picture(rng, identities=(who,), scene=scene, colour=colour, style=PHOTO)

    @cached_property
    def _licences(self) -> dict[str, str]:
        return licences()

    @cached_property
    def chosen(self) -> list[identities.Identity]:
        """Return who is in the source: different ones, of its split alone.

        Raises:
            BadConfig: If a kind has not so many.
        """
        split = None if self.split == ALL else self.split
        rng = numpy_generator(self.seed, f"identities {self.split}")
        # By name, as keys must differ; toyland's names are short, and two of many may share one.
        chosen: dict[str, identities.Identity] = {}
        missed = 0
        while len(chosen) < self.count:
            kind = self.kinds[len(chosen) % len(self.kinds)]
            drawn = sample_identity(rng, split, kind)
            missed = missed + 1 if drawn.name in chosen else 0
            chosen.setdefault(drawn.name, drawn)
            if missed > _PATIENCE:
                there = sum(who.kind == kind for who in chosen.values())
                raise BadConfig(
                    f"toyland has only about {there} different {PLURALS[kind]} in the split {self.split}, too"
                    f" few for --count {self.count}; ask for fewer, or for other --kinds too"
                )
        return list(chosen.values())
