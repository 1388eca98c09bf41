"""Networks that draw LoRAs, on identities that they have not seen: beside the mean, the nearest, a shuffled photo.

    python -m benchmarks.drawn_loras TRAINING-SET TEST-SET NET... [--count 24] [--pictures]

Both sets have LoRAs as targets (`portraitist identities .. --target lora`), the networks were trained on the first
(`portraitist hypernetwork train difflora`). Without `--pictures` LoRAs are compared by the changes that they make; with
it also by the likeness of pictures to the photos that were not shown.
"""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.predictions import mean_with_error
from portraitist.bases import Base, load_base
from portraitist.evaluation.encoders import load_encoder
from portraitist.hypernetworks.difflora.comparing import mean_loras, nearest_by_photo, nearest_known, variety
from portraitist.hypernetworks.difflora.predictor import WeightGenerator
from portraitist.hypernetworks.identities.identity_set import IdentitySet
from portraitist.hypernetworks.likeness import bank_likeness
from portraitist.hypernetworks.networks.contract import Wish
from portraitist.hypernetworks.saved import load_hypernetwork
from portraitist.hypernetworks.sight import Sight
from portraitist.hypernetworks.weights.changes import compare
from portraitist.hypernetworks.weights.vectors import WeightVectors

_AT_ONCE, _SEEDS, _PICTURES = 8, 4, (0, 1)


@dataclass(frozen=True)
class People:
    """Identities with their LoRAs and what is seen of the first photo of each."""

    members: IdentitySet
    vectors: Tensor
    features: Mapping[str, Tensor]

    @classmethod
    def of(cls, members: IdentitySet, network: WeightGenerator, sight: Sight) -> "People":
        """Look at one photo of each."""
        vectors = network.layout.vectors(members.targets(list(members)))
        photos = [members.picture(members.own_photos(entry)[0]) for entry in members]
        parts = [sight.see(photos[start : start + _AT_ONCE]) for start in range(0, len(photos), _AT_ONCE)]
        features = {name: torch.cat([part[name] for part in parts]).unsqueeze(1) for name in parts[0]}
        return cls(members, vectors, features)


def main() -> None:
    """Print the figures of each network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("training")
    parser.add_argument("test")
    parser.add_argument("networks", nargs="+")
    parser.add_argument("--count", type=int, default=24, help="identities of the test")
    parser.add_argument("--pictures", action="store_true", help="also draw pictures")
    parser.add_argument("--judge", default="toyland-identity", help="the encoder that judges likeness")
    options = parser.parse_args()
    training, test = IdentitySet.open(options.training), IdentitySet.open(options.test).first(options.count)
    base = load_base(training.settings.base)
    judged: dict[str, str] = {}
    for name in options.networks:
        loaded = load_hypernetwork(name)
        network = loaded.predictor
        assert isinstance(network, WeightGenerator)
        sight = Sight.load(loaded.description.recipe.sight, base, "cpu")
        known, people = (People.of(members, network, sight) for members in (training, test))
        loras = rivals(network, known, people)
        print(f"\n{name}: {loaded.description.output}; {network.codec.size} numbers, {network.codec.ratio:.0f} : 1")
        show_changes(network, known, people, loras)
        if options.pictures:
            show_pictures(base, network, people, loras, options.judge, judged)


def rivals(network: WeightGenerator, known: People, people: People) -> dict[str, Tensor]:
    """Return LoRAs for each of the people by how they were come by."""
    count = len(people.vectors)
    shuffled = {name: values.roll(1, 0) for name, values in people.features.items()}
    with torch.no_grad():
        restored = network.decode(network.encode(people.vectors))
    return {
        "their own": people.vectors,
        "their own, squeezed and restored": restored,
        "mean": mean_loras(network, count),
        "nearest by photo": nearest_by_photo(network, people.features, known.features, known.vectors),
        "drawn": network.predict(people.features, Wish()),
        "drawn, guidance 2": network.predict(people.features, Wish(guidance=2.0)),
        "drawn from another's photo": network.predict(shuffled, Wish()),
    }


def show_changes(network: WeightGenerator, known: People, people: People, loras: Mapping[str, Tensor]) -> None:
    """Print how near LoRAs' changes are to people's own, and to known ones; and how different seeds are."""
    print("| LoRA | error of the change | cosine | largest 1 % of weights | nearest known, about the mean |")
    print("| --- | --- | --- | --- | --- |")
    trained_on, mean = WeightVectors(known.vectors), network.standard.mean
    for name, vectors in loras.items():
        met = compare(network.layout, vectors, people.vectors).means
        near = float(nearest_known(network, vectors, trained_on, mean).cosines.mean())
        found = f"{met['error']:.2f} | {met['cosine']:.2f} | {met['largest']:.2f}"
        print(f"| {name} | {found} | {'' if name == 'mean' else f'{near:.2f}'} |")
    if network.draws:
        first = {name: values[:1] for name, values in people.features.items()}
        drawn = torch.cat([network.predict(first, Wish(seed=seed)) for seed in range(_SEEDS)])
        print(f"variety of {_SEEDS} seeds: {variety(network, drawn):.3f}")
    face = network.generator.features.weights(people.features)[:, 0, 0]
    print(f"weight of the face: {float(face.mean()):.2f}, from {float(face.min()):.2f} to {float(face.max()):.2f}")


def show_pictures(
    base: Base,
    network: WeightGenerator,
    people: People,
    loras: Mapping[str, Tensor],
    judge: str,
    judged: dict[str, str],
) -> None:
    """Print likeness to photos that were not shown, ± its standard error; what networks share is drawn once."""
    encoder = load_encoder(judge, "cpu")
    members = list(people.members)
    others = [people.members.features(judge, people.members.own_photos(entry)[1:]) for entry in members]
    for name, vectors in {"the base alone": torch.zeros_like(people.vectors), **loras}.items():
        shared = name in ("the base alone", "their own", "mean")
        if not shared or name not in judged:
            found: list[float] = []
            for start in range(0, len(members), _AT_ONCE):
                part = slice(start, start + _AT_ONCE)
                prompts = [entry.prompt for entry in members[part]]
                bank = network.layout.bank(vectors[part])
                found += bank_likeness(base, bank, prompts, encoder, others[part], _PICTURES)
            judged[name] = mean_with_error(found)
        print(f"likeness, {name}: {judged[name]}", flush=True)


if __name__ == "__main__":
    main()
