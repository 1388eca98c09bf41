"""Identities drawn from toyland's world: as many as there are, each in several scenes."""

from collections.abc import Sequence
from functools import cached_property

from portraitist.bases.families import Framing
from portraitist.errors import BadConfig
from portraitist.hypernetworks.identities.sources.source import Identity, Photo, Words
from portraitist.hypernetworks.identities.sources.worlds import Drawn, DrawnWorld
from portraitist.randomness import derive_seed, numpy_generator

NAME = "toyland"
ALL = "all"
# As people say it.
PLURALS = {"person": "people", "cat": "cats", "robot": "robots", "monster": "monsters"}
# After so many draws in a row that were known already, a kind has no more.
_PATIENCE = 2000


def choose_kinds(words: Sequence[str], world: DrawnWorld) -> tuple[str, ...]:
    """Return the kinds that words mean, in the world's order: ``people``, ``cat``, ``all``.

    Raises:
        BadConfig: If the world has no such kind.
    """
    if ALL in words:
        return world.kinds
    by_word = {word: kind for kind in world.kinds for word in (kind, PLURALS.get(kind, kind))}
    if unknown := [word for word in words if word not in by_word]:
        known = ", ".join(PLURALS.get(kind, kind) for kind in world.kinds)
        raise BadConfig(f"toyland has no kind {unknown[0]!r}; it has {known}, or {ALL}")
    return tuple(kind for kind in world.kinds if kind in {by_word[word] for word in words})


class DrawnSource:
    """Identities of a world, kinds taking turns; a longer source begins with those of a shorter one.

    Args:
        world: The world.
        kinds: Which kinds of it.
        count: How many identities.
        split: ``train``, ``validation``, ``test`` or ``all`` of the world's own splits.
        photos: Photos of each.
        side: Of the photos, in pixels.
        words: How a base is asked for them.
        seed: Seed of everything drawn.
    """

    def __init__(
        self,
        world: DrawnWorld,
        kinds: tuple[str, ...],
        count: int,
        split: str,
        photos: int,
        side: int,
        words: Words,
        seed: int,
    ) -> None:
        self.world, self.kinds, self.count, self.split = world, kinds, count, split
        self.photos, self.side, self.words, self.seed = photos, side, words, seed

    @property
    def name(self) -> str:
        """Return the world and the kinds: ``toyland:people``."""
        return f"{NAME}:{ALL if self.kinds == self.world.kinds else ','.join(PLURALS[kind] for kind in self.kinds)}"

    def identity(self, index: int) -> Identity:
        """Draw an identity's photos; the first of them are the same however many there are."""
        who = self.chosen[index]
        seed = derive_seed(self.seed, f"photos of {who.name}")
        rng = numpy_generator(seed, "scenes")
        scenes = [str(scene) for scene in rng.permutation(self.world.scenes)]
        specs = [
            self._sample(who, scenes[number % len(scenes)], derive_seed(seed, "photo", number))
            for number in range(self.photos)
        ]
        pixels = self.world.paint(specs, self.side)
        framing = Framing.whole(self.side, self.side)
        photos = []
        for number, (spec, each) in enumerate(zip(specs, pixels, strict=True)):
            phrase = self.world.scene_phrase(spec.scene, spec.colour, numpy_generator(seed, "phrase", number))
            prompt = self.words.placed(who.kind, phrase)
            photos.append(Photo(each, self.world.describe(spec), prompt, framing, self.world.labels(spec)))
        facts = {
            "world": self.world.name,
            "parts": dict(who.parts),
            "colour": who.colour,
            "licence": self._licences[who.kind],
        }
        plain = self.words.plain(who.kind)
        return Identity(who.name, who.kind, who.kind, who.split, seed, plain, tuple(photos), facts)

    def _sample(self, who: Drawn, scene: str, seed: int):  # type: ignore[no-untyped-def]  # a picture of the world's own
        rng = numpy_generator(seed, "picture")
        # A wall in somebody's own colour would swallow them.
        colours = [colour for colour in self.world.colours if colour != who.colour]
        colour = str(rng.choice(colours)) if scene == self.world.scenes[-1] else None
        return self.world.sample_picture(rng, who, scene, colour)

    @cached_property
    def _licences(self) -> dict[str, str]:
        return self.world.licences()

    @cached_property
    def chosen(self) -> list[Drawn]:
        """Return who is in the source: different ones, of its split alone.

        Raises:
            BadConfig: If a kind has not so many.
        """
        split = None if self.split == ALL else self.split
        rng = numpy_generator(self.seed, f"identities {self.split}")
        # By name, as keys must differ; toyland's names are short, and two of many may share one.
        chosen: dict[str, Drawn] = {}
        missed = 0
        while len(chosen) < self.count:
            kind = self.kinds[len(chosen) % len(self.kinds)]
            drawn = self.world.sample_identity(rng, split, kind)
            missed = missed + 1 if drawn.name in chosen else 0
            chosen.setdefault(drawn.name, drawn)
            if missed > _PATIENCE:
                there = sum(who.kind == kind for who in chosen.values())
                raise BadConfig(
                    f"toyland has only about {there} different {PLURALS.get(kind, kind)} in the split {self.split}, too"
                    f" few for --count {self.count}; ask for fewer, or for other --kinds too"
                )
        return list(chosen.values())
