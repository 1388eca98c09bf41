"""Who is to be seen in a picture of two? Judged half by half against pictures of the true pair, rendered by toyland.

A half is whoever it resembles most: the first or the second of the pair, a mixture of both, somebody else of their
kinds, or nobody; and it is one of the pair, or a mixture, only if it is nearer than strangers usually are, or as near
as pictures of them usually are. (The latter alone would be wrong: what a small base generates is blurred, and farther
from drawn pictures than those are from each other.) References are as large as subjects stand in company and as large
as in collages, and have been through the autoencoder, as generated pictures have. How often that is right, and how
often strangers pass for the pair, stands beside every result.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean
from typing import Literal, get_args

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from portraitist.randomness import numpy_generator
from portraitist.studies.experiments.pairs.identities import PLACES, Pair, photos_of
from portraitist.studies.experiments.pairs.recognisers import Recogniser
from portraitist.toyland.world.identities import Identity, sample_identity
from portraitist.toyland.world.painting import render_all
from portraitist.toyland.world.pictures import PHOTO, PictureSpec, sample_picture
from portraitist.training.multi_subject.cut_mix import collage
from portraitist.training.recipes import CollageFit

# What a half shows.
Seen = Literal["first", "second", "mixture", "other", "nobody"]
# What a picture shows. `swapped` needs a prompt that names sides.
Verdict = Literal["both", "swapped", "blended", "twice", "replaced", "alone", "neither"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)

# How often each scene is drawn for somebody's references, and how many of them must be near.
_ROUNDS = 2
_NEAREST = 3
STRANGERS = 16
# Of somebody's own halves that are no references, the share that may be rejected; of strangers' halves, the share that
# may be as near. The lower of the two demands is made, of mixtures as well.
_REJECTED, _ACCEPTED = 0.05, 0.05
_TRUE_PICTURES = 32
# What decides verdicts beside the recogniser and the number of strangers.
JUDGING = {
    "own halves rejected": _REJECTED,
    "strangers' halves as near": _ACCEPTED,
    "references": "company and collages",
    "verdicts": VERDICTS,
    "graded": "likeness and separation",
}

# Pictures as a base's autoencoder gives them back.
Restore = Callable[[Sequence[Image.Image]], list[Image.Image]]


def halves(picture: Image.Image) -> tuple[Image.Image, Image.Image]:
    """Return the left and right half of a picture."""
    width, height = picture.size
    return tuple(picture.crop((x, 0, x + width // 2, height)) for x in (0, width // 2))  # type: ignore[return-value]


def _look_closely(half: Image.Image) -> Image.Image:
    """Leave the upper third out, where nobody of two stands but in collages; encoders cut the middle square out."""
    return half.crop((0, half.height // 3, half.width, half.height))


def _look_at_all(half: Image.Image) -> Image.Image:
    """Squeeze a half into a square, so that encoders do not cut heads off."""
    return half.resize((half.height, half.height), Image.Resampling.BICUBIC)


@dataclass(frozen=True)
class Judgement:
    """What a judge says of one picture.

    Attributes:
        verdict: Whether it shows both.
        likeness: Mean cosine of halves with the nearest references of the one who should be there; where a prompt
            names no sides, of those who fit better.
        separation: How much more that is than with the references of the other: about nothing where both halves show
            the same, be it one of them or a mixture.
    """

    verdict: Verdict
    likeness: float
    separation: float


@dataclass(frozen=True)
class Reliability:
    """How far the judge of a pair can be trusted: what it says of pictures of known truth.

    Attributes:
        renders: Share of pictures of both, drawn together, that it takes for the pair; the most that a method can be
            expected to reach.
        collages: Share of collages of both, what Cut-Mix shows while it trains.
        one_stranger: Share of pictures of one of them with a stranger: wrongly.
        two_strangers: Share of pictures of two strangers: wrongly.
        likeness: Mean likeness of pictures of both, drawn together.
        separation: Their mean separation.
    """

    renders: float
    collages: float
    one_stranger: float
    two_strangers: float
    likeness: float = float("nan")
    separation: float = float("nan")


class PairJudge:
    """Judges pictures of one pair.

    Args:
        pair: The pair.
        recogniser: Turns halves into embeddings.
        size: Side of the pictures.
        seed: Seed of all references.
        restore: Passes pictures through the base's autoencoder.
        strangers: How many of each of the pair's kinds are known, an even number.
        fit: How the collages of `reliability` are made; references are of both sorts.
        looked_at: Strangers' references by kind, shared by judges that differ in the pair alone; new kinds are added.
    """

    def __init__(
        self,
        pair: Pair,
        recogniser: Recogniser,
        size: int,
        seed: int = 0,
        *,
        restore: Restore = list,
        strangers: int = STRANGERS,
        fit: CollageFit = "crop",
        looked_at: dict[str, list[Tensor]] | None = None,
    ) -> None:
        self.pair, self.recogniser, self.size, self.seed = pair, recogniser, size, seed
        self.restore, self.fit = restore, fit
        references, held_out = self._of_pair("references"), self._of_pair("halves held out")
        others = self._strangers(strangers, {} if looked_at is None else looked_at)
        self._floors = {who: _floor(rows, held_out[who], torch.cat(others)) for who, rows in references.items()}
        self._gallery = list(references.items())
        self._gallery += [("other", rows) for rows in others]
        self._gallery.append(("nobody", self._embed(self._empty_halves())))

    def see(self, crops: Sequence[Image.Image]) -> list[Seen]:
        """Say who each half shows: whose nearest references are nearest, if they are near enough."""
        return self._see(self._nearness_to_all(crops))

    def judge(self, pictures: Sequence[Image.Image], sides: Sequence[bool]) -> list[Judgement]:
        """Judge pictures.

        Args:
            pictures: The pictures.
            sides: Whether each one's prompt put the first on the left and the second on the right.
        """
        nearness = self._nearness_to_all([half for picture in pictures for half in halves(picture)])
        seen = self._see(nearness)
        judgements = []
        for index, named in enumerate(sides):
            left, right = 2 * index, 2 * index + 1
            graded = resemblance(nearness[left : right + 1, :2], named)
            judgements.append(Judgement(decide(seen[left], seen[right], named), *graded))
        return judgements

    def _nearness_to_all(self, crops: Sequence[Image.Image]) -> Tensor:
        """Return how near halves are to everybody of the gallery, ``[n, gallery]``."""
        embedded = self._embed(crops)
        return torch.stack([_nearness(embedded, rows) for _, rows in self._gallery], 1)

    def _see(self, nearness: Tensor) -> list[Seen]:
        seen: list[Seen] = []
        for values in nearness:
            who = self._gallery[int(values.argmax())][0]
            seen.append("other" if values.max() < self._floors.get(who, -1.0) else who)
        return seen

    @cached_property
    def reliability(self) -> Reliability:
        """Return how often pictures of known truth are judged to show both."""
        rng = numpy_generator(self.seed, f"truth of {self.pair.name}")
        first, second = self.pair.first, self.pair.second
        photos = [photos_of(who, len(PLACES), self.size, self.seed + 1) for who in (first, second)]
        count = len(PLACES)
        collages = [
            collage(photos[0][index % count], photos[1][(index + index // count) % count], self.fit)
            for index in range(_TRUE_PICTURES)
        ]

        def strangers(*wanted: Identity) -> list[Identity]:
            return [sample_identity(rng, "validation", who.kind) for who in wanted]

        mixed = [
            (first, *strangers(second)) if index % 2 else (*strangers(first), second) for index in range(_TRUE_PICTURES)
        ]
        renders = self._judge_truth(self._render(rng, [(first, second)] * _TRUE_PICTURES))
        return Reliability(
            renders=_accepted(renders),
            collages=_accepted(self._judge_truth(collages)),
            one_stranger=_accepted(self._judge_truth(self._render(rng, mixed))),
            two_strangers=_accepted(
                self._judge_truth(self._render(rng, [strangers(first, second) for _ in range(_TRUE_PICTURES)]))
            ),
            likeness=fmean(one.likeness for one in renders),
            separation=fmean(one.separation for one in renders),
        )

    def _judge_truth(self, pictures: Sequence[Image.Image]) -> list[Judgement]:
        """Judge drawn pictures as generated ones are."""
        return self.judge(self.restore(pictures), [True] * len(pictures))

    def _render(self, rng: np.random.Generator, companies: Sequence[Sequence[Identity]]) -> list[Image.Image]:
        specs = [sample_picture(rng, identities=tuple(company), style=PHOTO) for company in companies]
        return render_all(specs, self.size)

    def _of_pair(self, purpose: str) -> dict[Seen, Tensor]:
        """Return embeddings of the halves of both, and midway between them."""
        first, second = (self._in_company(who, purpose) for who in (self.pair.first, self.pair.second))
        return {"first": first, "second": second, "mixture": F.normalize(first + second, dim=1)}

    def _in_company(self, identity: Identity, purpose: str) -> Tensor:
        """Return embeddings of somebody's halves, beside somebody of the training split."""
        rng = numpy_generator(self.seed, f"{purpose} of {identity.name}")
        return self._embed_two(rng, identity, sample_identity(rng, "train"))[0]

    def _embed_two(self, rng: np.random.Generator, first: Identity, second: Identity) -> tuple[Tensor, Tensor]:
        """Return embeddings of two people's halves, in company and in both sorts of collages, in every scene.

        PairResult by row they share scenes, so that rows of several people may be mixed.
        """
        pictures: list[Image.Image] = []
        places: list[int] = []
        for index, scene in enumerate(PLACES * _ROUNDS):
            place = (index + index // len(PLACES)) % 2
            order = (first, second) if place == 0 else (second, first)
            together = sample_picture(rng, identities=order, scene=scene, style=PHOTO)
            alone = [sample_picture(rng, identities=(who,), scene=scene, style=PHOTO) for who in order]
            both, left, right = render_all([together, *alone], self.size)
            made = [both, *(collage(left, right, fit) for fit in get_args(CollageFit))]
            pictures, places = pictures + made, places + [place] * len(made)
        pairs = [halves(picture) for picture in self.restore(pictures)]
        mine = self._embed([pair[place] for pair, place in zip(pairs, places, strict=True)])
        theirs = self._embed([pair[1 - place] for pair, place in zip(pairs, places, strict=True)])
        return mine, theirs

    def _embed(self, crops: Sequence[Image.Image]) -> Tensor:
        """Return embeddings of halves, of a close look and of all of it, side by side."""
        looks = (_look_closely, _look_at_all)
        return F.normalize(torch.cat([self.recogniser.embed([look(crop) for crop in crops]) for look in looks], 1))

    def _strangers(self, count: int, looked_at: dict[str, list[Tensor]]) -> list[Tensor]:
        """Return references of strangers of the pair's kinds, who keep each other company."""
        kinds = dict.fromkeys((self.pair.first.kind, self.pair.second.kind))
        for kind in kinds:
            if kind in looked_at:
                continue
            rng = numpy_generator(self.seed, f"strangers, each a {kind}")
            looked_at[kind] = []
            for _ in range(count // 2):
                looked_at[kind] += self._embed_two(rng, *(sample_identity(rng, "train", kind) for _ in range(2)))
        return [rows for kind in kinds for rows in looked_at[kind]]

    def _empty_halves(self) -> list[Image.Image]:
        empty = [PictureSpec((), scene, "", PHOTO, seed) for scene in PLACES for seed in range(2)]
        return [half for picture in self.restore(render_all(empty, self.size)) for half in halves(picture)]


def _accepted(judgements: Sequence[Judgement]) -> float:
    """Return the share of pictures that are judged to show both."""
    return fmean(one.verdict == "both" for one in judgements)


def _nearness(embedded: Tensor, references: Tensor) -> Tensor:
    """Return the mean cosine of each row with its nearest references, ``[n]``."""
    return (embedded @ references.T).topk(_NEAREST, dim=1).values.mean(1)


def _floor(references: Tensor, own: Tensor, others: Tensor) -> float:
    """Return how near to references a half must be: nearer than most of others', or as near as most of one's own."""
    usual, strange = _nearness(own, references), _nearness(others, references)
    return min(float(usual.quantile(_REJECTED)), float(strange.quantile(1 - _ACCEPTED)))


def resemblance(nearness: Tensor, sides_named: bool) -> tuple[float, float]:
    """Return likeness and separation of a picture from how near its halves (rows) are to both (columns), ``[2, 2]``."""
    as_named, crossed = float(nearness.diagonal().mean()), float(nearness.flip(1).diagonal().mean())
    if not sides_named:
        as_named, crossed = max(as_named, crossed), min(as_named, crossed)
    return as_named, as_named - crossed


def decide(left: Seen, right: Seen, sides_named: bool) -> Verdict:
    """Return what a picture shows from what its halves show."""
    seen = {left, right}
    known = seen & {"first", "second"}
    if len(known) == 2:
        return "swapped" if sides_named and left == "second" else "both"
    if "mixture" in seen:
        return "blended"
    if not known:
        return "neither"
    if len(seen) == 1:
        return "twice"
    return "alone" if "nobody" in seen else "replaced"
