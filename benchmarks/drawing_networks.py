"""The networks that `portraitist study difflora` compares, each trained for as long, one after the other.

    python -m benchmarks.drawing_networks --identities loras -o nets --minutes 30
    portraitist study difflora --folder networks=nets --folder network=nets/gate --folder identities=loras

The same command goes on: a network that was trained for so long is passed over, one that was interrupted is trained for
what is left. What a set cannot give is left out and named. A set is made so:

    portraitist identities toyland:people -o loras --count 1024 --photos 14 --alike 12
        --encoders toyland-second-identity,toyland-clip --target lora --learned-a 100 --scenes --steps 30
        --set layers=attention --set method_config.rank=4 --set batch_size=2 --set learning_rate=6e-3
        --set warmup_steps=5 --bank-size 16

(on one line): docs/hypernetworks.md says why. The network `gate` has all LoRAs, and is what most of the others are held
against.
"""

import argparse
from pathlib import Path
from typing import Any

from benchmarks.networks import Bench, Network, add_options, chosen
from portraitist.hypernetworks.difflora.making import AUTOENCODER, GENERATOR, METHOD
from portraitist.hypernetworks.identities.identity_set import IdentitySet

# The paper's generator, 16 x 1454, is for SDXL; with toyland's all autoencoders have the same.
_SMALL = {"depth": 4, "width": 128, "heads": 4, "tokens": 4, "dropout": 0.1}
_SMALL_TRAINING = {"learning_rate": 5e-4, "weight_decay": 0.05, "schedule": "cosine", "warmup_steps": 50}
_SMALL_TRAINING |= {"average_decay": 0.99}


def _components(count: int | None = None, **changes: dict[str, Any]) -> Network:
    """Return a network on principal components: all of its time goes to the generator."""
    return Network(METHOD, "portraitist", changes, count, targets=True, stages=(GENERATOR,))


def _squeezed(recipe: str, **changes: dict[str, Any]) -> Network:
    """Return a network on an autoencoder's latents: each of the two has half of the time."""
    changes = {"generator": _SMALL, "generator_training": _SMALL_TRAINING, **changes}
    return Network(METHOD, recipe, changes, targets=True, stages=(AUTOENCODER, GENERATOR))


# By the names that the study gives their folders.
NETWORKS = {
    "gate": _components(),
    **{mixing: _components(features={"mixing": mixing}) for mixing in ("mean", "face", "image")},
    **{process: _components(generator={"process": process}) for process in ("flow", "regression")},
    "paper": _squeezed("paper"),
    "paper-gamma-0": _squeezed("paper", autoencoder={"gamma": 0.0}),
    "tokens": _squeezed("tokens"),
    **{f"loras-{count}": _components(count) for count in (100, 300, 1000)},
}


def main() -> None:
    """Train what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--identities", type=Path, required=True, help="a set with LoRA targets")
    parser.add_argument("--only", help="names, separated by commas")
    add_options(parser)
    options = parser.parse_args()
    bench, known = Bench.of(options), IdentitySet.open(options.identities)
    base = bench.base(known)
    for name in chosen(options.only, NETWORKS):
        print(bench.train(name, NETWORKS[name], known, base), flush=True)


if __name__ == "__main__":
    main()
