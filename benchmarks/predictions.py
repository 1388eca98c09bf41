"""Hypernetworks on identities that they have not seen: one photo of each shown, likeness to the others.

    python -m benchmarks.predictions TRAINING-SET TEST-SET [NET...] [--count 48]

Beside the own photo's prediction stand those of another identity's photo and of the most similar training identity's,
and the mean of all training identities of the kind; and what the base draws without an adapter, and when it is told
the caption of the shown photo. The encoder that judges must not be one that the network sees with.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import fmean, stdev

import torch
from torch import Tensor

from portraitist.adapters import Attachment, attached
from portraitist.bases import Base, load_base
from portraitist.evaluation.encoders import Encoder, load_encoder
from portraitist.hypernetworks.difflora.predictor import WeightGenerator
from portraitist.hypernetworks.identities.entry import Entry
from portraitist.hypernetworks.identities.identity_set import IdentitySet
from portraitist.hypernetworks.likeness import served_likeness
from portraitist.hypernetworks.networks.contract import PhotoToAdapter, Wish
from portraitist.hypernetworks.networks.predictor import Predictor
from portraitist.hypernetworks.predicting import Seer
from portraitist.hypernetworks.saved import load_hypernetwork
from portraitist.markdown import table
from portraitist.studies.makers.gallery import Gallery

SCENES = ("on the beach", "in the forest")


@dataclass(frozen=True)
class Judge:
    """Draws pictures of identities and says how like them they are.

    Attributes:
        base: The base.
        members: The identities.
        encoder: Judges likeness.
        others: Its embeddings of the photos of each that are not shown.
        steps: Sampling steps.
    """

    base: Base
    members: Sequence[Entry]
    encoder: Encoder
    others: Sequence[Tensor]
    steps: int

    def likeness(self, attachment: Attachment | None, prompts: Sequence[Sequence[str]]) -> list[float]:
        """Return the mean likeness of each identity's pictures, one a prompt.

        Args:
            attachment: A bank with an adapter for each identity; None for the base alone.
            prompts: Of each identity, as many.
        """
        found = [
            served_likeness(self.base, attachment, asked, self.encoder, self.others, [number], self.steps)
            for number, asked in enumerate(zip(*prompts, strict=True))
        ]
        return [fmean(each) for each in zip(*found, strict=True)]


def main() -> None:
    """Print a table a network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("training", help="the set that the networks were trained on")
    parser.add_argument("test", help="a set of identities they have not seen, with features of the judge")
    parser.add_argument("networks", nargs="*")
    parser.add_argument("--count", type=int, help="identities of the test")
    parser.add_argument("--judge", default="toyland-identity", help="the encoder that judges likeness")
    parser.add_argument("--steps", type=int, default=12, help="sampling steps")
    parser.add_argument("--own", action="store_true", help="only the own photo's predictions")
    options = parser.parse_args()
    training, test = IdentitySet.open(options.training), IdentitySet.open(options.test)
    members = list(test)[: options.count]
    base, encoder = load_base(training.settings.base), load_encoder(options.judge, "cpu")
    others = [test.features(options.judge, [n for n in entry.numbers if n != entry.first]) for entry in members]
    judge = Judge(base, members, encoder, others, options.steps)
    placed = [[f"{entry.prompt} {scene}" for scene in SCENES] for entry in members]
    if not options.own:
        plain = [[prompt.replace(f"{test.settings.token} ", "") for prompt in each] for each in placed]
        told = [[entry.photos[0].caption] * len(SCENES) for entry in members]
        alone = {"the base alone": judge.likeness(None, plain), "told the caption": judge.likeness(None, told)}
        show("without a network", members, alone)
    for name in options.networks:
        seer = Seer(load_hypernetwork(name), base)
        scores = {}
        for arm, numbers in predictions(seer, training, test, members, options.own).items():
            with worn(base, seer.hypernetwork.predictor, numbers) as attachment:
                scores[arm] = judge.likeness(attachment, placed)
        show(f"{name}, {seer.hypernetwork.description.steps} steps", members, scores)


@contextmanager
def worn(base: Base, network: PhotoToAdapter, numbers: Tensor) -> Iterator[Attachment]:
    """Attach the adapters that predictions ``[n, P]`` are, as a bank."""
    if isinstance(network, WeightGenerator):
        with attached(base.components, network.layout.bank(numbers)) as attachment:
            yield attachment
        return
    assert isinstance(network, Predictor)
    attachment = network.output.attach(base.components)
    try:
        network.output.feed(attachment, numbers)
        yield attachment
    finally:
        attachment.detach()


@torch.no_grad()
def predictions(
    seer: Seer, training: IdentitySet, test: IdentitySet, members: Sequence[Entry], own: bool
) -> dict[str, Tensor]:
    """Return numbers of adapters for each identity by how they were come by."""
    predictor, sight = seer.hypernetwork.predictor, seer.hypernetwork.description.recipe.sight
    seen = _see(seer, test, [entry.first for entry in members])
    found = {"own photo": predictor.predict(seen, Wish()), "own, guidance 1.5": predictor.predict(seen, Wish(1.5))}
    if own:
        return found
    kinds = sorted({entry.kind for entry in members})
    key = (seer.hypernetwork.name, str(seer.hypernetwork.description.steps), str(training.folder), *kinds)
    gallery = Gallery.of(seer, training.of_kinds(kinds), " ".join(key))
    nouns = [entry.class_noun for entry in members]
    alone = [{name: values[row] for name, values in seen.items()} for row in range(len(members))]
    nearest = [gallery.photos[gallery.nearest(each, sight, noun)] for each, noun in zip(alone, nouns, strict=True)]
    found["most similar identity's photo"] = predictor.predict(_see(seer, training, nearest), Wish())
    found["another's photo"] = found["own photo"][[_next_of_kind(nouns, row) for row in range(len(nouns))]]
    found["mean of the kind"] = torch.stack([gallery.mean(noun) for noun in nouns])
    return found


def _see(seer: Seer, known: IdentitySet, photos: Sequence[int]) -> dict[str, Tensor]:
    parts = [seer.sight.see([known.picture(photo) for photo in photos[i : i + 16]]) for i in range(0, len(photos), 16)]
    return {name: torch.cat([part[name] for part in parts]).unsqueeze(1) for name in parts[0]}


def _next_of_kind(nouns: Sequence[str], row: int) -> int:
    """Return the next one of the same kind, round and round."""
    order = [*range(row + 1, len(nouns)), *range(row + 1)]
    return next(other for other in order if nouns[other] == nouns[row])


def show(title: str, members: Sequence[Entry], scores: Mapping[str, Sequence[float]]) -> None:
    """Print mean likeness, of all and of each kind, with its standard error."""
    kinds = sorted({entry.kind for entry in members})
    rows = []
    for arm, found in scores.items():
        by_kind = [[value for value, entry in zip(found, members, strict=True) if entry.kind == kind] for kind in kinds]
        rows.append([arm, *(mean_with_error(each) for each in (found, *by_kind))])
    print(f"\n{title}\n\n{table(['', 'all', *kinds], rows)}", flush=True)


def mean_with_error(values: Sequence[float]) -> str:
    """Return a mean, ± its standard error."""
    spread = stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return f"{fmean(values):.2f} ± {spread:.2f}"


if __name__ == "__main__":
    main()
