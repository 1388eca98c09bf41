"""The networks that `portraitist study hyperdreambooth` compares, each trained for as long, one after the other.

    python -m benchmarks.hyperdreambooth --identities everybody --targets targets -o nets --minutes 30
    portraitist study hyperdreambooth --folder networks=nets

The same command goes on: a network that was trained for so long is passed over, one that was interrupted is trained for
what is left. Networks of recipe `paper` learn from `--targets`, a set with LiDB targets; those that differ in how many
identities they see from `--identities`. What a set cannot give is left out and named. Sets are made so:

    portraitist identities toyland:all -o everybody --count 4096 --encoders toyland-clip,toyland-dino
    portraitist identities toyland:all -o targets --count 400 --photos 1 --target lidb --set batch_size=1 --bank-size 16
"""

import argparse
from pathlib import Path

from benchmarks.networks import Bench, Network, add_options, chosen
from portraitist.hypernetworks.identities.identity_set import IdentitySet
from portraitist.hypernetworks.making import METHOD


def _papers(**changes: dict[str, object]) -> Network:
    return Network(METHOD, "paper", changes, targets=True, flagged=True)


# By the names that the study gives their folders.
NETWORKS = {
    "paper": _papers(),
    "k-1": _papers(decoder={"iterations": 1}),
    "alpha-0": _papers(losses={"diffusion": 0.0}),
    "beta-0": _papers(losses={"weights": 0.0}),
    "learned": _papers(output={"space": "subspace", "config": {"changes": 32}}, losses={"weights": 0.0}),
    **{f"identities-{count}": Network(METHOD, "portraitist", count=count) for count in (100, 300, 1000, 3000)},
}


def main() -> None:
    """Train what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--identities", type=Path, help="a set of identities, without targets or with them")
    parser.add_argument("--targets", type=Path, help="a set with LiDB targets")
    parser.add_argument("--only", help="names, separated by commas")
    add_options(parser)
    options = parser.parse_args()
    bench = Bench.of(options)
    for name in chosen(options.only, NETWORKS):
        place = options.targets if NETWORKS[name].targets else options.identities
        if place is None:
            print(f"{name}: left out, no {'--targets' if NETWORKS[name].targets else '--identities'}")
            continue
        known = IdentitySet.open(place)
        print(bench.train(name, NETWORKS[name], known, bench.base(known)))


if __name__ == "__main__":
    main()
