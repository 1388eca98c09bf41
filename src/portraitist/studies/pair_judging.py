"""Who is to be seen in a picture of two? Judged half by half against pictures of the true pair, rendered by toyland.

A half is whoever it resembles most: the first or the second of the pair, a mixture of both, somebody else of their
kinds, or nobody. How well that works is measured on rendered pictures, and stands beside every result.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Protocol, get_args

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from portraitist.evaluation import load_encoder
from portraitist.evaluation.encoders.encoder import Encoder, embed_images, facts
from portraitist.randomness import numpy_generator
from portraitist.toyland.world.identities import KINDS, Identity, sample_identity
from portraitist.toyland.world.pictures import PictureSpec, render, sample_picture
from portraitist.toyland.world.scenes import SCENES

# What a half shows.
Seen = Literal["first", "second", "mixture", "other", "nobody"]
# What a picture shows. `swapped` needs a prompt that names sides.
Verdict = Literal["both", "swapped", "blended", "twice", "one", "neither"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)

COLOURS = "colours"
_BINS = 8
# Rendered halves of each identity, two in every scene, how many of them must be near, and strangers of each kind.
_SCENES = tuple(scene for scene in SCENES if scene != "plain")
_REFERENCES = 2 * len(_SCENES)
_NEAREST = 3
_STRANGERS = 4
_TRUE_PICTURES = 32


class Recogniser(Protocol):
    """Turns pictures into embeddings that are alike for one identity."""

    @property
    def name(self) -> str:
        """Return what `make_recogniser` knows it by."""

    def identity(self) -> Mapping[str, Any]:
        """Return JSON-able facts: name, revision, preprocessing."""

    def embed(self, pictures: Sequence[Image.Image]) -> Tensor:
        """Return embeddings ``[n, d]`` of length one."""


class ColourRecogniser:
    """Square roots of colour histograms: needs no weights, tells apart what differs in colour."""

    name = COLOURS

    def identity(self) -> Mapping[str, Any]:
        """Return the name and the bins."""
        return {"recogniser": COLOURS, "bins": _BINS}

    def embed(self, pictures: Sequence[Image.Image]) -> Tensor:
        """Return ``[n, 512]``."""
        rows = []
        for picture in pictures:
            pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3)
            counts, _ = np.histogramdd(pixels, bins=(_BINS,) * 3, range=((0, 256),) * 3)
            rows.append(np.sqrt(counts.ravel() / len(pixels)))
        return torch.from_numpy(np.stack(rows)).float()


@dataclass(frozen=True)
class EncoderRecogniser:
    """An identity encoder of the evaluation."""

    name: str
    encoder: Encoder

    def identity(self) -> Mapping[str, Any]:
        """Return the encoder's facts."""
        return {"recogniser": facts(self.encoder).model_dump(mode="json")}

    def embed(self, pictures: Sequence[Image.Image]) -> Tensor:
        """Return the encoder's embeddings."""
        return embed_images(self.encoder, pictures)


def make_recogniser(name: str) -> Recogniser:
    """Return ``colours``, or an encoder by its name or path.

    Raises:
        BadConfig: If the encoder is not here.
    """
    return ColourRecogniser() if name == COLOURS else EncoderRecogniser(name, load_encoder(name))


@dataclass(frozen=True)
class Pair:
    """Two test identities."""

    first: Identity
    second: Identity

    @property
    def same_class(self) -> bool:
        """Say whether both are of one kind."""
        return self.first.kind == self.second.kind

    @property
    def name(self) -> str:
        """Return both names."""
        return f"{self.first.name}+{self.second.name}"


def draw_pairs(count: int, seed: int = 0) -> list[Pair]:
    """Draw pairs of test identities, of one kind and of two in turn; two of one kind differ in colour."""
    pairs = []
    for index in range(count):
        rng = numpy_generator(seed, "pairs", index)
        first = sample_identity(rng, "test", KINDS[index // 2 % len(KINDS)])
        others = [kind for kind in KINDS if kind != first.kind]
        kind = first.kind if index % 2 == 0 else others[rng.integers(len(others))]
        second = sample_identity(rng, "test", kind)
        while second.kind == first.kind and second.colour == first.colour:
            second = sample_identity(rng, "test", kind)
        pairs.append(Pair(first, second))
    return pairs


def photos_of(identity: Identity, count: int, size: int, seed: int = 0) -> list[Image.Image]:
    """Render photos of somebody alone, each in another scene."""
    rng = numpy_generator(seed, f"photos of {identity.name}")
    scenes = [str(scene) for scene in rng.permutation(_SCENES)]
    specs = [
        sample_picture(rng, identities=(identity,), scene=scenes[index % len(scenes)], style="photo")
        for index in range(count)
    ]
    return [render(spec, size) for spec in specs]


def halves(picture: Image.Image) -> tuple[Image.Image, Image.Image]:
    """Return the left and right half of a picture, without the upper third, where nobody of two stands."""
    width, height = picture.size
    return tuple(picture.crop((x, height // 3, x + width // 2, height)) for x in (0, width // 2))  # type: ignore[return-value]


class PairJudge:
    """Judges pictures of one pair."""

    def __init__(self, pair: Pair, recogniser: Recogniser, size: int, seed: int = 0) -> None:
        self.pair, self.recogniser, self.size, self.seed = pair, recogniser, size, seed
        first, second = self._references(pair.first), self._references(pair.second)
        self._gallery: list[tuple[Seen, Tensor]] = [("first", first), ("second", second)]
        self._gallery.append(("mixture", F.normalize(first + second, dim=1)))
        self._gallery += [("other", self._references(stranger)) for stranger in self._strangers()]
        self._gallery.append(("nobody", recogniser.embed(self._empty_halves())))

    def see(self, crops: Sequence[Image.Image]) -> list[Seen]:
        """Say who each half shows: whose nearest references are nearest."""
        embedded = self.recogniser.embed(crops)
        nearness = [(embedded @ rows.T).topk(_NEAREST, dim=1).values.mean(1) for _, rows in self._gallery]
        return [self._gallery[int(index)][0] for index in torch.stack(nearness, 1).argmax(1)]

    def judge(self, pictures: Sequence[Image.Image], sides: Sequence[bool]) -> list[Verdict]:
        """Judge pictures.

        Args:
            pictures: The pictures.
            sides: Whether each one's prompt put the first on the left and the second on the right.
        """
        seen = self.see([half for picture in pictures for half in halves(picture)])
        return [decide(seen[2 * index], seen[2 * index + 1], named) for index, named in enumerate(sides)]

    @cached_property
    def own_accuracy(self) -> float:
        """Return the share of rendered pictures of the pair that are judged right: the most a method can reach."""
        rng = numpy_generator(self.seed, f"truth of {self.pair.name}")
        pair = (self.pair.first, self.pair.second)
        specs = [sample_picture(rng, identities=pair, style="photo") for _ in range(_TRUE_PICTURES)]
        verdicts = self.judge([render(spec, self.size) for spec in specs], [True] * len(specs))
        return verdicts.count("both") / len(verdicts)

    def _references(self, identity: Identity) -> Tensor:
        """Return embeddings of somebody's halves in company, on either side; those of two people share their scenes."""
        rng = numpy_generator(self.seed, f"references of {identity.name}")
        crops = []
        for index in range(_REFERENCES):
            company = (identity, sample_identity(rng, "train"))[:: 1 if index % 2 == 0 else -1]
            scene = _SCENES[index // 2]
            spec = sample_picture(rng, identities=company, scene=scene, style="photo")
            crops.append(halves(render(spec, self.size))[index % 2])
        return self.recogniser.embed(crops)

    def _strangers(self) -> list[Identity]:
        rng = numpy_generator(self.seed, f"strangers to {self.pair.name}")
        kinds = dict.fromkeys((self.pair.first.kind, self.pair.second.kind))
        return [sample_identity(rng, "train", kind) for kind in kinds for _ in range(_STRANGERS)]

    def _empty_halves(self) -> list[Image.Image]:
        empty = [PictureSpec((), scene, "", "photo", seed) for scene in _SCENES for seed in range(2)]
        return [half for spec in empty for half in halves(render(spec, self.size))]


def decide(left: Seen, right: Seen, sides_named: bool) -> Verdict:
    """Return what a picture shows from what its halves show."""
    if {left, right} == {"first", "second"}:
        return "swapped" if sides_named and left == "second" else "both"
    if "mixture" in (left, right):
        return "blended"
    known = [half for half in (left, right) if half in ("first", "second")]
    return ("neither", "one", "twice")[len(known)]  # type: ignore[return-value]
