"""How well LoRAs survive being squeezed to equally few numbers: all autoencoders and principal components in one table.

    python -m benchmarks.weight_codecs --identities loras --test test -o codecs --minutes 10 --pictures

Both sets have LoRAs as targets (`portraitist identities .. --target lora`), the second of identities that are not in
the first. Each autoencoder is trained for as long on the first, those with the weight-preserved loss as those without;
the same command goes on. On the second it is judged by errors of the change that a LoRA makes, of all layers together
and of those of each kind, of the hundredth of its weights that are largest, and with `--pictures` by the likeness of
pictures to the photos.
"""

import argparse
from collections.abc import Mapping
from math import log
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.networks import Bench, Network, add_options
from portraitist.bases import Base
from portraitist.evaluation.encoders import load_encoder
from portraitist.hypernetworks.difflora.making import AUTOENCODER, METHOD, WeightWorkshop
from portraitist.hypernetworks.difflora.predictor import WeightGenerator
from portraitist.hypernetworks.identities.identity_set import IdentitySet
from portraitist.hypernetworks.likeness import bank_likeness, likeness_kept
from portraitist.hypernetworks.weights.changes import compare
from portraitist.markdown import table
from portraitist.training.networks.reports import read_report

_RATIO = 300
_AT_ONCE = 8
_TOKENS = 16  # about as many latent tokens as the recipe has
# The generator is not used here, and shall cost nothing.
_NO_GENERATOR = {"depth": 1, "width": 8, "heads": 1, "tokens": 1}
_OWN, _NONE = "their own", "none"


def codecs(size: int, numbers: int) -> dict[str, Network]:
    """Return what is compared, all with latents of one size."""
    return {
        "principal": _codec("portraitist"),
        "paper": _codec("paper", gamma=10.0),
        "paper, plain loss": _codec("paper", gamma=0.0),
        **{
            name: _codec("tokens", ratio=numbers / size, latents=latent_tokens(size), **changes)
            for name, changes in {
                "tokens, loss on the change": {},
                "tokens, weight-preserved loss": {"angle": 0.0, "spectrum": 0.0, "numbers": 1.0, "gamma": 10.0},
                "tokens, plain loss": {"angle": 0.0, "spectrum": 0.0, "numbers": 1.0},
            }.items()
        },
    }


def _codec(recipe: str, **autoencoder: Any) -> Network:
    changes = {"autoencoder": autoencoder, "generator": _NO_GENERATOR}
    return Network(METHOD, recipe, changes, targets=True, stages=(AUTOENCODER,))


def latent_tokens(size: int) -> int:
    """Return the number of tokens, near the recipe's, into which so many numbers can be cut evenly."""
    divisors = [count for count in range(1, size + 1) if size % count == 0]
    return min(divisors, key=lambda count: abs(log(count / _TOKENS)))


def main() -> None:
    """Train what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--identities", type=Path, required=True, help="a set with LoRA targets, to train on")
    parser.add_argument("--test", type=Path, required=True, help="a set of others with the same kind of LoRAs")
    parser.add_argument("--count", type=int, default=24, help="identities of the test")
    parser.add_argument("--pictures", action="store_true", help="also draw pictures")
    parser.add_argument("--judge", default="toyland-identity", help="the encoder that judges likeness")
    add_options(parser)
    options = parser.parse_args()
    bench, known = Bench.of(options), IdentitySet.open(options.identities)
    base, people = bench.base(known), IdentitySet.open(options.test).with_targets().first(options.count)
    numbers = count_numbers(known.with_targets())
    found: dict[str, WeightGenerator] = {}
    for name, network in codecs(-(-numbers // _RATIO), numbers).items():
        recipe, folder, members = network.settings(bench.changes), bench.folder / name, network.members(known)
        if recipe.autoencoder_training is not None:
            print(bench.train(name, network, known, base), flush=True)
        found[name] = WeightWorkshop(folder, network.recipe, recipe, members, base, bench.machine).autoencoder()
    likeness = show_likeness(base, people, found, options.judge) if options.pictures else {}
    rows = [judge(bench.folder / name, name, each, people, likeness) for name, each in found.items()]
    print(f"\n{len(people)} LoRAs of {numbers:,} numbers, {len(known.with_targets())} in the training set\n")
    print(table(list(rows[0]), [list(row.values()) for row in rows]))


def count_numbers(known: IdentitySet) -> int:
    """Return how many numbers a set's LoRAs have that are not common to all."""
    shared = known.settings.target is not None and known.settings.target.frozen_a
    bank = known.targets(known[:1])
    return sum(params["up"].numel() + (0 if shared else params["down"].numel()) for params in bank.values.values())


def judge(
    folder: Path, name: str, network: WeightGenerator, people: IdentitySet, likeness: Mapping[str, list[float]]
) -> dict[str, str]:
    """Return a row of the table: a codec's figures on LoRAs that it has not seen."""
    wanted = network.layout.vectors(people.targets(list(people)))
    met = compare(network.layout, restored(network, wanted), wanted)
    stage = read_report(folder).get(AUTOENCODER, {})
    row = {
        "codec": name,
        "latent": f"{network.codec.size}",
        "ratio": f"{network.codec.ratio:.0f} : 1",
        "parameters": f"{sum(each.numel() for each in network.codec.state_dict().values()):,}",
        "steps": f"{stage['steps']:,.0f}" if stage else "-",
        **{label: f"{met.means[key]:.3f}" for key, label in _MEASURES.items()},
    }
    if likeness:
        kept = likeness_kept(likeness[name], likeness[_OWN], likeness[_NONE])
        row |= {"likeness": f"{_mean(likeness[name]):.3f}", "likeness kept": f"{100 * kept:.0f} %"}
    return row | {f"error {kind}": f"{error:.2f}" for kind, error in by_kind(met.by_layer).items()}


_MEASURES = {"error": "error of the change", "cosine": "cosine", "largest": "error of the largest 1 %"}


def by_kind(by_layer: Mapping[str, float]) -> dict[str, float]:
    """Return mean errors of layers by what they are in their blocks: ``attn1.to_q`` and the like."""
    kinds: dict[str, list[float]] = {}
    for layer, error in by_layer.items():
        words = [word for word in layer.split(".") if not word.isdigit()]
        kinds.setdefault(".".join(words[-2:]), []).append(error)
    return {kind: _mean(errors) for kind, errors in sorted(kinds.items())}


@torch.no_grad()
def restored(network: WeightGenerator, vectors: Tensor) -> Tensor:
    """Return LoRAs ``[n, P]``, squeezed and restored."""
    return torch.cat([network.decode(network.encode(part)) for part in vectors.split(_AT_ONCE)])


def show_likeness(
    base: Base, people: IdentitySet, networks: Mapping[str, WeightGenerator], judge: str
) -> dict[str, list[float]]:
    """Return and print the likeness of pictures to the photos, with LoRAs of nobody, their own, and restored ones."""
    encoder, members = load_encoder(judge, "cpu"), list(people)
    photos = [people.features(judge, list(entry.numbers)) for entry in members]
    layout = next(iter(networks.values())).layout
    own = layout.vectors(people.targets(members))
    loras = {_NONE: torch.zeros_like(own), _OWN: own} | {name: restored(each, own) for name, each in networks.items()}
    found: dict[str, list[float]] = {}
    for name, vectors in loras.items():
        found[name] = []
        for start in range(0, len(members), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            prompts = [entry.prompt for entry in members[part]]
            found[name] += bank_likeness(base, layout.bank(vectors[part]), prompts, encoder, photos[part])
        print(f"likeness with LoRAs, {name}: {_mean(found[name]):.3f}", flush=True)
    return found


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


if __name__ == "__main__":
    main()
